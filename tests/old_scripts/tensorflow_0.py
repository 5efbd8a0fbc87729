# An LSTM and TensorBoard in the words of TensorFlow 0.8.
import sys

import numpy as np
import tensorflow as tf
from tensorflow.models.rnn import rnn, rnn_cell
import input_data

mnist = input_data.read_data_sets("mnist_of_nobody/", one_hot=True)
n_input = n_steps = 28
n_hidden = 24
batch_size = 64

x = tf.placeholder("float", [None, n_steps, n_input])
istate = tf.placeholder("float", [None, 2 * n_hidden])
y = tf.placeholder("float", [None, 10])
weights = {
    'hidden': tf.Variable(tf.random_normal([n_input, n_hidden], stddev=0.2)),
    'out': tf.Variable(tf.random_normal([n_hidden, 10], stddev=0.2)),
}
biases = {
    'hidden': tf.Variable(tf.zeros([n_hidden])),
    'out': tf.Variable(tf.zeros([10])),
}

_X = tf.transpose(x, [1, 0, 2])
_X = tf.reshape(_X, [-1, n_input])
_X = tf.matmul(_X, weights['hidden']) + biases['hidden']
lstm_cell = rnn_cell.BasicLSTMCell(n_hidden, forget_bias=1.0)
_X = tf.split(0, n_steps, _X)
outputs, states = rnn.rnn(lstm_cell, _X, initial_state=istate)
both = tf.concat(1, [outputs[-1], tf.mul(outputs[-1], 0.0)])
pred = tf.matmul(tf.split(1, 2, both)[0], weights['out']) + biases['out']

cost = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(pred, y))
optimizer = tf.train.AdamOptimizer(learning_rate=0.01).minimize(cost)
correct_pred = tf.equal(tf.argmax(pred, 1), tf.argmax(y, 1))
accuracy = tf.reduce_mean(tf.cast(correct_pred, tf.float32))
tf.scalar_summary("loss", cost)
tf.histogram_summary("weights", weights['out'])
tf.image_summary("images", tf.reshape(x, [-1, 28, 28, 1]), max_images=2)
merged = tf.merge_all_summaries()

with tf.Session() as sess:
    sess.run(tf.initialize_all_variables())
    writer = tf.train.SummaryWriter("logs", sess.graph)
    for step in range(int(sys.argv[1])):
        batch_xs, batch_ys = mnist.train.next_batch(batch_size)
        feed = {x: batch_xs.reshape((batch_size, n_steps, n_input)), y: batch_ys,
                istate: np.zeros((batch_size, 2 * n_hidden))}
        sess.run(optimizer, feed_dict=feed)
        if step % 10 == 0:
            loss, summary = sess.run([cost, merged], feed_dict=feed)
            writer.add_summary(summary, step)
            print("step", step, "loss", loss)
    feed = {x: mnist.test.images.reshape((-1, n_steps, n_input)), y: mnist.test.labels,
            istate: np.zeros((mnist.test.num_examples, 2 * n_hidden))}
    print("accuracy", sess.run(accuracy, feed_dict=feed))
