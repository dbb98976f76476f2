// Calls what the pages' Kotlin defines, on photos of one colour with a frame that the centre leaves out.

import android.content.Context
import android.content.res.AssetManager
import android.graphics.Bitmap
import org.gradle.kotlin.dsl.declared

class App(gpu: Boolean) : Context() {
    override val assets = AssetManager(setOf("INT8", "FP16"), gpu)
}

fun photo(width: Int, height: Int, colour: Int): Bitmap {
    val inside = minOf(width, height) / 2 - minOf(width, height) / 16
    return Bitmap(width, height, IntArray(width * height) {
        val (x, y) = it % width - width / 2 to it / width - height / 2
        if (maxOf(x, -x, y, -y) <= inside) colour else 0
    })
}

fun close(found: FloatArray, expected: List<Int>) =
    check(found.size == 3 && found.indices.all { Math.abs(255 * found[it] - expected[it]) < 0.5 }) { found.toList() }

fun main() {
    val colour = 0xff10c8a0.toInt() // red 16, green 200, blue 160: two of them above a signed byte
    val channels = listOf(0x10, 0xc8, 0xa0)
    for ((width, height) in listOf(1000 to 600, 600 to 1000, 300 to 300)) {
        val centred = centre(photo(width, height, colour))
        check(centred.width == centred.height && centred.width in 224 until 448)
        check(centred.argb.all { it == colour })
    }
    val image = photo(1000, 600, colour)
    val bytes = rgb(image)
    check(bytes.size == 224 * 224 * 3 && bytes.indices.all { bytes[it] == channels[it % 3].toByte() })

    val phone = App(gpu = true)
    PhotoClassifier(phone).use { classifier ->
        val found = classifier.classify(image)
        check(found.map { it.first } == listOf("green", "blue", "red")) { found }
        close(found.map { it.second }.toFloatArray(), listOf(0xc8, 0xa0, 0x10))
    }
    OnCpu(phone).use { close(it.probabilities(image), channels) }
    gpuOrNull(phone)!!.use { close(it.probabilities(image), channels) }
    check(gpuOrNull(App(gpu = false)) == null)
    check(inAnActivity(phone, centre(image)).categoryName() == "green")
    GRADLE
    println(declared.joinToString(" "))
}
