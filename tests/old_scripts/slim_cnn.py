# TensorFlow-Slim: arg_scope, batch normalization that a placeholder switches, losses.
import sys

import tensorflow as tf
from tensorflow.examples.tutorials.mnist import input_data

slim = tf.contrib.slim
mnist = input_data.read_data_sets('MNIST_data', one_hot=True)


def lenet(images, is_training):
    with slim.arg_scope([slim.conv2d, slim.fully_connected],
                        weights_initializer=tf.truncated_normal_initializer(stddev=0.1),
                        weights_regularizer=slim.l2_regularizer(0.0005),
                        normalizer_fn=slim.batch_norm,
                        normalizer_params={'is_training': is_training, 'decay': 0.9}):
        net = slim.conv2d(images, 8, [5, 5], scope='conv1')
        net = slim.max_pool2d(net, [2, 2], scope='pool1')
        net = slim.repeat(net, 2, slim.conv2d, 8, [3, 3], scope='conv2')
        net = slim.max_pool2d(net, [2, 2], 2, scope='pool2')
        net = slim.flatten(net)
        net = slim.fully_connected(net, 32, scope='fc3')
        net = slim.dropout(net, 0.9, is_training=is_training, scope='dropout3')
    return slim.fully_connected(net, 10, activation_fn=None, scope='fc4')


x = tf.placeholder(tf.float32, [None, 784])
y = tf.placeholder(tf.float32, [None, 10])
is_training = tf.placeholder(tf.bool)
logits = lenet(tf.reshape(x, [-1, 28, 28, 1]), is_training)
slim.losses.softmax_cross_entropy(logits, y)
total_loss = slim.losses.get_total_loss()
accuracy = tf.contrib.metrics.accuracy(tf.argmax(logits, 1), tf.argmax(y, 1))
global_step = tf.contrib.framework.get_or_create_global_step()
with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
    train_op = tf.train.MomentumOptimizer(0.02, 0.9).minimize(
        total_loss, global_step=global_step)
print(sorted(v.op.name for v in slim.get_variables('conv2')
             if not v.op.name.endswith('Momentum')))

with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for i in range(int(sys.argv[1])):
        images, labels = mnist.train.next_batch(64)
        loss, _ = sess.run([total_loss, train_op],
                           {x: images, y: labels, is_training: True})
        if i % 10 == 0:
            print('step %d loss %.4f' % (i, loss))
    print('accuracy', sess.run(accuracy, {
        x: mnist.test.images, y: mnist.test.labels, is_training: False}))
