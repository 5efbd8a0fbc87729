# An autoencoder of TensorFlow 0.x, which shows what it reconstructs.
from __future__ import print_function, division

import sys
import numpy as np
import matplotlib.pyplot as plt
import tensorflow as tf
import input_data

mnist = input_data.read_data_sets("mnist_of_nobody/", one_hot=True)

learning_rate = 0.01
batch_size = 100
x = tf.placeholder("float", [None, 784])
weights = {
    'encoder': tf.Variable(tf.random_normal([784, 64], stddev=0.05)),
    'decoder': tf.Variable(tf.random_normal([64, 784], stddev=0.05)),
}
biases = {
    'encoder': tf.Variable(tf.zeros([64])),
    'decoder': tf.Variable(tf.zeros([784])),
}
code = tf.nn.sigmoid(tf.add(tf.matmul(x, weights['encoder']), biases['encoder']))
y_pred = tf.nn.sigmoid(tf.add(tf.matmul(code, weights['decoder']), biases['decoder']))
cost = tf.reduce_mean(tf.pow(tf.sub(x, y_pred), 2))
optimizer = tf.train.AdamOptimizer(learning_rate).minimize(cost)

with tf.Session() as sess:
    sess.run(tf.initialize_all_variables())
    for step in range(int(sys.argv[1])):
        batch_xs, _ = mnist.train.next_batch(batch_size)
        _, c = sess.run([optimizer, cost], feed_dict={x: batch_xs})
        if step % 10 == 0:
            print("step", step, "loss", "{:.6f}".format(c))
    encode_decode = sess.run(y_pred, feed_dict={x: mnist.test.images[:10]})

f, a = plt.subplots(2, 10, figsize=(10, 2))
f.canvas.set_window_title('autoencoder')
for i in range(10):
    a[0][i].imshow(np.reshape(mnist.test.images[i], newshape=(28, 28)))
    a[1][i].imshow(np.reshape(encode_decode[i], (28, 28)))
f.show()
plt.draw()
plt.waitforbuttonpress()
