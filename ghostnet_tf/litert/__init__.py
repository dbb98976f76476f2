"""`.tflite` files of anyone, read and tried before they are used; what makes them is in `ghostnet_tf.tflite`."""
