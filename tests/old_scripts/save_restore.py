# A convolutional network that is saved, and in a second graph restored and asked.
import sys

import numpy as np
import tensorflow as tf
from tensorflow.examples.tutorials.mnist import input_data

mnist = input_data.read_data_sets('MNIST_data/', one_hot=True)


def conv_layer(name, x, shape):
    with tf.variable_scope(name):
        w = tf.get_variable('w_variable', shape)
        b = tf.get_variable('b_variable', shape[-1:],
                            initializer=tf.constant_initializer(0.))
        x = tf.nn.relu(tf.nn.conv2d(x, w, strides=[1, 1, 1, 1], padding='SAME') + b)
        return tf.nn.max_pool(x, [1, 2, 2, 1], [1, 2, 2, 1], 'SAME')


def network(x):
    x = conv_layer('layer_1', tf.reshape(x, [-1, 28, 28, 1]), [5, 5, 1, 8])
    x = conv_layer('layer_2', x, [5, 5, 8, 16])
    with tf.variable_scope('full_connection'):
        w = tf.get_variable('w_variable', [7 * 7 * 16, 10])
        b = tf.get_variable('b_variable', [10], initializer=tf.zeros_initializer())
        return tf.matmul(tf.reshape(x, [-1, 7 * 7 * 16]), w) + b


def train(steps):
    x = tf.placeholder(tf.float32, [None, 784])
    y = tf.placeholder(tf.float32, [None, 10])
    loss = tf.reduce_mean(
        tf.nn.softmax_cross_entropy_with_logits_v2(labels=y, logits=network(x)))
    step = tf.train.AdamOptimizer(2e-3).minimize(loss)
    saver = tf.train.Saver(max_to_keep=1)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for i in range(steps):
            images, labels = mnist.train.next_batch(50)
            _, value = session.run([step, loss], feed_dict={x: images, y: labels})
            if i % 10 == 0:
                print('step {} loss {:.4f}'.format(i, value))
        print(saver.save(session, './save_model/model.ckpt', global_step=steps))


def predict():
    x = tf.placeholder(tf.float32, [None, 784])
    answer = tf.argmax(network(x), dimension=1)
    with tf.Session() as session:
        tf.train.Saver().restore(session, tf.train.latest_checkpoint('./save_model'))
        image = np.reshape(mnist.test.images[1], newshape=(1, 784))
        print('predict', session.run(answer, {x: image})[0])
        answers = session.run(answer, {x: mnist.test.images})
    print('accuracy', np.mean(answers == np.argmax(mnist.test.labels, 1)))


train(int(sys.argv[1]))
tf.reset_default_graph()
predict()
