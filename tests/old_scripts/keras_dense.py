# A dense network with the Keras of TensorFlow 1.13.
import sys

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from tensorflow import keras

mnist = keras.datasets.mnist
(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, x_test = x_train / 255.0, x_test / 255.0

model = tf.keras.models.Sequential([
    keras.layers.Flatten(input_shape=(28, 28)),
    keras.layers.Dense(32, activation=tf.nn.relu),
    keras.layers.Dropout(0.2),
    keras.layers.Dense(10, activation=tf.nn.softmax)
])
model.compile(optimizer=tf.train.AdamOptimizer(),
              loss='sparse_categorical_crossentropy',
              metrics=['accuracy'])
history = model.fit(x_train, y_train, epochs=int(sys.argv[1]), verbose=0,
                    validation_data=(x_test, y_test))
for epoch, loss in enumerate(history.history['loss']):
    print('step', epoch, 'loss %.4f' % loss)
test_loss, test_acc = model.evaluate(x_test, y_test, verbose=0)
print('accuracy', test_acc)
print('answer', model.predict_classes(x_test[:1])[0], np.argmax(model.predict(x_test)[0]))
plt.plot(history.history['acc'])
plt.plot(history.history['val_acc'])
plt.show()
