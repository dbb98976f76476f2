// What the pages' Kotlin uses of Android, Gradle, MediaPipe Tasks and LiteRT, package by package: test_kotlin.py compiles
// the pages against it and runs them. The interfaces follow
// - Android: https://developer.android.com/reference/android/graphics/Bitmap,
// - MediaPipe 1.1: mediapipe/tasks/java/com/google/mediapipe/ in github.com/google-ai-edge/mediapipe,
// - LiteRT 2.3: litert/kotlin/src/main/kotlin/com/google/ai/edge/litert/ in github.com/google-ai-edge/LiteRT.
// What is behind them is the least that answers by the pixels: a model's outputs are the means of red, green and blue.

package android.content

abstract class Context {
    abstract val assets: android.content.res.AssetManager
}

package android.content.res

/** The names of an app's assets, and whether its phone has a GPU. */
class AssetManager(val names: Set<String>, val gpu: Boolean)

package android.graphics

class Bitmap(val width: Int, val height: Int, val argb: IntArray) {
    fun getPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int) {
        for (row in 0 until height) {
            for (column in 0 until width) {
                pixels[offset + row * stride + column] = argb[(y + row) * this.width + x + column]
            }
        }
    }

    companion object {
        fun createBitmap(source: Bitmap, x: Int, y: Int, width: Int, height: Int): Bitmap {
            require(x >= 0 && y >= 0 && x + width <= source.width && y + height <= source.height)
            val pixels = IntArray(width * height)
            source.getPixels(pixels, 0, width, x, y, width, height)
            return Bitmap(width, height, pixels)
        }

        /** The nearest pixels, whatever `filter` says. */
        fun createScaledBitmap(src: Bitmap, dstWidth: Int, dstHeight: Int, filter: Boolean): Bitmap =
            Bitmap(dstWidth, dstHeight, IntArray(dstWidth * dstHeight) {
                src.argb[it / dstWidth * src.height / dstHeight * src.width + it % dstWidth * src.width / dstWidth]
            })
    }
}

package org.gradle.kotlin.dsl

class DependencyHandlerScope {
    val notations = mutableListOf<Any>()

    fun implementation(dependencyNotation: Any): Any? = notations.add(dependencyNotation)
}

val declared = mutableListOf<Any>()

fun dependencies(configuration: DependencyHandlerScope.() -> Unit) {
    declared.addAll(DependencyHandlerScope().apply(configuration).notations)
}

package com.google.mediapipe.framework.image

import android.graphics.Bitmap

class MPImage(val bitmap: Bitmap)

class BitmapImageBuilder(private val bitmap: Bitmap) {
    fun build(): MPImage = MPImage(bitmap)
}

package com.google.mediapipe.tasks.core

class BaseOptions(val path: String) {
    class Builder {
        private var path = ""

        fun setModelAssetPath(value: String): Builder = apply { path = value }

        fun build(): BaseOptions = BaseOptions(path)
    }

    companion object {
        fun builder(): Builder = Builder()
    }
}

package com.google.mediapipe.tasks.vision.core

enum class RunningMode { IMAGE, VIDEO, LIVE_STREAM }

package com.google.mediapipe.tasks.components.containers

class Category(private val number: Int, private val name: String, private val probability: Float) {
    fun score(): Float = probability

    fun index(): Int = number

    fun categoryName(): String = name

    fun displayName(): String = ""
}

class Classifications(private val found: List<Category>) {
    fun categories(): List<Category> = found
}

class ClassificationResult(private val found: List<Classifications>) {
    fun classifications(): List<Classifications> = found
}

package com.google.mediapipe.tasks.vision.imageclassifier

import android.content.Context
import com.google.mediapipe.framework.image.MPImage
import com.google.mediapipe.tasks.components.containers.Category
import com.google.mediapipe.tasks.components.containers.ClassificationResult
import com.google.mediapipe.tasks.components.containers.Classifications
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.vision.core.RunningMode

class ImageClassifierResult(private val found: List<Category>) {
    fun classificationResult(): ClassificationResult = ClassificationResult(listOf(Classifications(found)))
}

class ImageClassifier(private val maxResults: Int) : AutoCloseable {
    fun classify(image: MPImage): ImageClassifierResult {
        val found = listOf("red" to 16, "green" to 8, "blue" to 0).mapIndexed { index, (name, shift) ->
            Category(index, name, image.bitmap.argb.map { it shr shift and 0xff }.average().toFloat() / 255)
        }
        return ImageClassifierResult(found.sortedByDescending { it.score() }.take(maxResults))
    }

    fun classifyAsync(image: MPImage, timestampMs: Long) {}

    override fun close() {}

    class ImageClassifierOptions(val path: String, val maxResults: Int) {
        class Builder {
            private var path = ""
            private var results = Int.MAX_VALUE

            fun setBaseOptions(baseOptions: BaseOptions): Builder = apply { path = baseOptions.path }

            fun setRunningMode(runningMode: RunningMode): Builder = this

            fun setMaxResults(maxResults: Int): Builder = apply { results = maxResults }

            fun build(): ImageClassifierOptions = ImageClassifierOptions(path, results)
        }

        companion object {
            fun builder(): Builder = Builder()
        }
    }

    companion object {
        fun createFromOptions(context: Context, options: ImageClassifierOptions): ImageClassifier {
            require(options.path in context.assets.names)
            return ImageClassifier(options.maxResults)
        }
    }
}

package com.google.ai.edge.litert

import android.content.res.AssetManager

enum class Accelerator { NONE, CPU, GPU, NPU }

class LiteRtException(message: String) : Exception(message)

class Environment : AutoCloseable {
    override fun close() {}
}

/** As floats; bytes count as a uint8 tensor takes them. */
class TensorBuffer : AutoCloseable {
    private var values = FloatArray(0)

    fun writeInt8(data: ByteArray) {
        values = FloatArray(data.size) { (data[it].toInt() and 0xff).toFloat() }
    }

    fun writeFloat(data: FloatArray) {
        values = data.copyOf()
    }

    fun readInt8(): ByteArray = ByteArray(values.size) { values[it].toInt().toByte() }

    fun readFloat(): FloatArray = values.copyOf()

    override fun close() {}
}

class CompiledModel : AutoCloseable {
    data class CpuOptions(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    class Options(val accelerators: Set<Accelerator>) {
        constructor(vararg accelerators: Accelerator) : this(setOf(*accelerators))

        var cpuOptions: CpuOptions? = null
    }

    fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = listOf(TensorBuffer())

    fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = listOf(TensorBuffer())

    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signatureIndex: Int = 0) {
        val pixels = inputs[0].readFloat()
        require(pixels.size == 224 * 224 * 3)
        outputs[0].writeFloat(FloatArray(3) { channel ->
            pixels.filterIndexed { index, _ -> index % 3 == channel }.average().toFloat() / 255
        })
    }

    override fun close() {}

    companion object {
        fun create(
            assetManager: AssetManager,
            assetName: String,
            options: Options = Options(Accelerator.CPU),
            optionalEnv: Environment? = null,
        ): CompiledModel {
            require(assetName in assetManager.names)
            if (Accelerator.GPU in options.accelerators && !assetManager.gpu) throw LiteRtException("no GPU")
            return CompiledModel()
        }
    }
}
