# Two convolutions, pooling and dropout: "Deep MNIST for Experts".
import sys

import tensorflow as tf
from tensorflow.examples.tutorials.mnist import input_data

mnist = input_data.read_data_sets('MNIST_data', one_hot=True)
steps = int(sys.argv[1])
sess = tf.InteractiveSession()


def weight_variable(shape):
    return tf.Variable(tf.truncated_normal(shape, stddev=0.1))


def bias_variable(shape):
    return tf.Variable(tf.constant(0.1, shape=shape))


def conv2d(x, W):
    return tf.nn.conv2d(x, W, strides=[1, 1, 1, 1], padding='SAME')


def max_pool_2x2(x):
    return tf.nn.max_pool(x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding='SAME')


x = tf.placeholder(tf.float32, shape=[None, 784])
y_ = tf.placeholder(tf.float32, shape=[None, 10])
x_image = tf.reshape(x, [-1, 28, 28, 1])
h_pool1 = max_pool_2x2(tf.nn.relu(
    conv2d(x_image, weight_variable([5, 5, 1, 8])) + bias_variable([8])))
h_pool2 = max_pool_2x2(tf.nn.relu(
    conv2d(h_pool1, weight_variable([5, 5, 8, 16])) + bias_variable([16])))
width = h_pool2.get_shape()[1].value * h_pool2.shape[2].value * 16
flat = tf.reshape(h_pool2, [-1, width])
h_fc1 = tf.nn.relu(tf.matmul(flat, weight_variable([width, 64])) + bias_variable([64]))
keep_prob = tf.placeholder(tf.float32)
h_drop = tf.nn.dropout(h_fc1, keep_prob)
y_conv = tf.matmul(h_drop, weight_variable([64, 10])) + bias_variable([10])

cross_entropy = tf.reduce_mean(
    tf.nn.softmax_cross_entropy_with_logits(labels=y_, logits=y_conv))
train_step = tf.train.AdamOptimizer(1e-3).minimize(cross_entropy)
correct_prediction = tf.equal(tf.argmax(y_conv, 1), tf.argmax(y_, 1))
accuracy = tf.reduce_mean(tf.cast(correct_prediction, tf.float32))

sess.run(tf.global_variables_initializer())
for i in range(steps):
    batch = mnist.train.next_batch(50)
    if i % 10 == 0:
        loss = cross_entropy.eval({x: batch[0], y_: batch[1], keep_prob: 1.0})
        print("step %d loss %.4f" % (i, loss))
    train_step.run(feed_dict={x: batch[0], y_: batch[1], keep_prob: 0.8})
print("accuracy %g" % accuracy.eval(
    feed_dict={x: mnist.test.images, y_: mnist.test.labels, keep_prob: 1.0}))
# One in five units is dropped, not four.
share = tf.nn.dropout(tf.ones([1000, 10]), 0.8).eval()
print("kept %.2f" % (share > 0).mean())
