// What the pages' Kotlin uses of Android, Gradle, MediaPipe Tasks and LiteRT: declarations without bodies, package by
// package, which test_kotlin.py compiles the pages against. They follow
// - Android: https://developer.android.com/reference/android/graphics/Bitmap,
// - MediaPipe 1.1: mediapipe/tasks/java/com/google/mediapipe/ in github.com/google-ai-edge/mediapipe,
// - LiteRT 2.3: litert/kotlin/src/main/kotlin/com/google/ai/edge/litert/ in github.com/google-ai-edge/LiteRT.

package android.content

abstract class Context {
    val assets: android.content.res.AssetManager get() = TODO()
}

package android.content.res

class AssetManager

package android.graphics

class Bitmap private constructor() {
    val width: Int get() = TODO()
    val height: Int get() = TODO()

    fun getPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int) {}

    companion object {
        fun createBitmap(source: Bitmap, x: Int, y: Int, width: Int, height: Int): Bitmap = TODO()

        fun createScaledBitmap(src: Bitmap, dstWidth: Int, dstHeight: Int, filter: Boolean): Bitmap = TODO()
    }
}

package org.gradle.kotlin.dsl

class DependencyHandlerScope {
    fun implementation(dependencyNotation: Any): Any? = TODO()
}

fun dependencies(configuration: DependencyHandlerScope.() -> Unit) {}

package com.google.mediapipe.framework.image

import android.graphics.Bitmap

class MPImage

class BitmapImageBuilder(bitmap: Bitmap) {
    fun build(): MPImage = TODO()
}

package com.google.mediapipe.tasks.core

class BaseOptions {
    class Builder {
        fun setModelAssetPath(value: String): Builder = TODO()

        fun build(): BaseOptions = TODO()
    }

    companion object {
        fun builder(): Builder = TODO()
    }
}

package com.google.mediapipe.tasks.vision.core

enum class RunningMode { IMAGE, VIDEO, LIVE_STREAM }

package com.google.mediapipe.tasks.components.containers

class Category {
    fun score(): Float = TODO()

    fun index(): Int = TODO()

    fun categoryName(): String = TODO()

    fun displayName(): String = TODO()
}

class Classifications {
    fun categories(): List<Category> = TODO()
}

class ClassificationResult {
    fun classifications(): List<Classifications> = TODO()
}

package com.google.mediapipe.tasks.vision.imageclassifier

import android.content.Context
import com.google.mediapipe.framework.image.MPImage
import com.google.mediapipe.tasks.components.containers.ClassificationResult
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.vision.core.RunningMode

class ImageClassifierResult {
    fun classificationResult(): ClassificationResult = TODO()
}

class ImageClassifier : AutoCloseable {
    fun classify(image: MPImage): ImageClassifierResult = TODO()

    fun classifyAsync(image: MPImage, timestampMs: Long) {}

    override fun close() {}

    class ImageClassifierOptions {
        class Builder {
            fun setBaseOptions(baseOptions: BaseOptions): Builder = TODO()

            fun setRunningMode(runningMode: RunningMode): Builder = TODO()

            fun setMaxResults(maxResults: Int): Builder = TODO()

            fun build(): ImageClassifierOptions = TODO()
        }

        companion object {
            fun builder(): Builder = TODO()
        }
    }

    companion object {
        fun createFromOptions(context: Context, options: ImageClassifierOptions): ImageClassifier = TODO()
    }
}

package com.google.ai.edge.litert

import android.content.res.AssetManager

enum class Accelerator { NONE, CPU, GPU, NPU }

class LiteRtException(message: String) : Exception(message)

class Environment : AutoCloseable {
    override fun close() {}
}

class TensorBuffer : AutoCloseable {
    fun writeInt8(data: ByteArray) {}

    fun writeFloat(data: FloatArray) {}

    fun readInt8(): ByteArray = TODO()

    fun readFloat(): FloatArray = TODO()

    override fun close() {}
}

class CompiledModel : AutoCloseable {
    data class CpuOptions(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    class Options(accelerators: Set<Accelerator>) {
        constructor(vararg accelerators: Accelerator) : this(setOf(*accelerators))

        var cpuOptions: CpuOptions? = null
    }

    fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = TODO()

    fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = TODO()

    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signatureIndex: Int = 0) {}

    override fun close() {}

    companion object {
        fun create(
            assetManager: AssetManager,
            assetName: String,
            options: Options = Options(Accelerator.CPU),
            optionalEnv: Environment? = null,
        ): CompiledModel = TODO()
    }
}
