# A network of tf.layers with batch normalization, dropout and a weight penalty.
import sys

import tensorflow as tf
from tensorflow.contrib.learn.python.learn.datasets.mnist import read_data_sets

mnist = read_data_sets("MNIST_data")
x = tf.placeholder(tf.float32, [None, 784])
y = tf.placeholder(tf.int64, [None])
is_training = tf.placeholder_with_default(False, [], name='is_training')

with tf.variable_scope('net'):
    h = tf.reshape(x, [-1, 28, 28, 1])
    h = tf.layers.conv2d(h, filters=8, kernel_size=[5, 5], padding="same",
                         activation=tf.nn.relu, name='conv1',
                         kernel_regularizer=tf.contrib.layers.l2_regularizer(1e-3))
    h = tf.layers.max_pooling2d(h, pool_size=[2, 2], strides=2)
    h = tf.layers.batch_normalization(h, training=is_training, momentum=0.9)
    h = tf.contrib.layers.flatten(h)
    h = tf.layers.dense(h, 32, activation=tf.nn.relu, name='fc1',
                        kernel_initializer=tf.contrib.layers.xavier_initializer())
    h = tf.layers.dropout(h, rate=0.2, training=is_training)
    logits = tf.layers.dense(h, 10, name='out')

cross_entropy = tf.losses.sparse_softmax_cross_entropy(labels=y, logits=logits)
penalty = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
loss = cross_entropy + tf.add_n(penalty)
update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
with tf.control_dependencies(update_ops):
    train_op = tf.train.AdamOptimizer(0.003).minimize(loss)
accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), y), tf.float32))

with tf.variable_scope('net', reuse=True):
    kernel = tf.get_variable('conv1/kernel')
print(kernel.name, len(penalty), len(update_ops), len(tf.trainable_variables()))

with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for i in range(int(sys.argv[1])):
        images, labels = mnist.train.next_batch(64)
        _, value = sess.run([train_op, cross_entropy],
                            {x: images, y: labels, is_training: True})
        if i % 10 == 0:
            print("step %d loss %.4f" % (i, value))
    print("accuracy %.4f" % sess.run(
        accuracy, {x: mnist.test.images, y: mnist.test.labels}))
