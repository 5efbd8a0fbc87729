""" An LSTM reads an image row by row, as a sequence of 28 steps. """
from __future__ import print_function

import sys

import tensorflow as tf
from tensorflow.contrib import rnn
from tensorflow.examples.tutorials.mnist import input_data
mnist = input_data.read_data_sets("MNIST_data/", one_hot=True)

learning_rate = 0.005
batch_size = 64
timesteps = num_input = 28
num_hidden = 32

X = tf.placeholder("float", [None, timesteps, num_input])
Y = tf.placeholder("float", [None, 10])
weights = tf.Variable(tf.random_normal([num_hidden, 10]))
biases = tf.Variable(tf.random_normal([10]))


def RNN(x, weights, biases):
    x = tf.unstack(x, timesteps, 1)
    cell = rnn.BasicLSTMCell(num_hidden, forget_bias=1.0)
    cell = rnn.DropoutWrapper(cell, output_keep_prob=0.9)
    stack = rnn.MultiRNNCell([cell] * 2, state_is_tuple=True)
    outputs, states = rnn.static_rnn(stack, x, dtype=tf.float32)
    return tf.matmul(outputs[-1], weights) + biases


logits = RNN(X, weights, biases)
loss_op = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(
    logits=logits, labels=Y))
optimizer = tf.train.AdamOptimizer(learning_rate=learning_rate)
train_op = optimizer.minimize(loss_op)
correct_pred = tf.equal(tf.argmax(tf.nn.softmax(logits), 1), tf.argmax(Y, 1))
accuracy = tf.reduce_mean(tf.cast(correct_pred, tf.float32))

with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for step in range(int(sys.argv[1])):
        batch_x, batch_y = mnist.train.next_batch(batch_size)
        batch_x = batch_x.reshape((batch_size, timesteps, num_input))
        _, loss = sess.run([train_op, loss_op], feed_dict={X: batch_x, Y: batch_y})
        if step % 10 == 0:
            print("step " + str(step) + " loss " + "{:.4f}".format(loss))
    test_data = mnist.test.images.reshape((-1, timesteps, num_input))
    print("accuracy", sess.run(accuracy, feed_dict={X: test_data, Y: mnist.test.labels}))
