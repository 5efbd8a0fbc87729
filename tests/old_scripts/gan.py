# A generative adversarial network with contrib.layers; its samples go to a file.
import os
import sys

import numpy as np
import scipy.misc
import tensorflow as tf
import tensorflow.contrib.layers as layers
from tensorflow.examples.tutorials.mnist import input_data

mb_size = 32
Z_dim = 16
mnist = input_data.read_data_sets('MNIST_data', one_hot=True)


def generator(z):
    with tf.variable_scope('generator'):
        h = layers.fully_connected(z, 7 * 7 * 8, normalizer_fn=layers.batch_norm)
        h = tf.reshape(h, [-1, 7, 7, 8])
        h = layers.conv2d_transpose(h, 8, 4, stride=2)
        h = layers.conv2d_transpose(h, 1, 4, stride=2, activation_fn=tf.nn.sigmoid)
        return layers.flatten(h)


def discriminator(x, reuse=None):
    with tf.variable_scope('discriminator', reuse=reuse):
        h = layers.fully_connected(x, 64, activation_fn=tf.nn.leaky_relu)
        return layers.fully_connected(h, 1, activation_fn=None)


X = tf.placeholder(tf.float32, shape=[None, 784])
Z = tf.placeholder(tf.float32, shape=[None, Z_dim])
sample = generator(Z)
real, fake = discriminator(X), discriminator(sample, reuse=True)
bce = tf.nn.sigmoid_cross_entropy_with_logits
D_loss = tf.reduce_mean(bce(logits=real, labels=tf.ones_like(real)) +
                        bce(logits=fake, labels=tf.zeros_like(fake)))
G_loss = tf.reduce_mean(bce(logits=fake, labels=tf.ones_like(fake)))
theta_D = [v for v in tf.trainable_variables() if v.name.startswith('discriminator')]
theta_G = [v for v in tf.trainable_variables() if v.name.startswith('generator')]
D_solver = tf.train.AdamOptimizer(1e-3).minimize(D_loss, var_list=theta_D)
G_solver = tf.train.AdamOptimizer(1e-3).minimize(G_loss, var_list=theta_G)
print(len(theta_D), len(theta_G))


def sample_Z(m, n):
    return np.random.uniform(-1., 1., size=[m, n])


sess = tf.Session()
sess.run(tf.global_variables_initializer())
for it in range(int(sys.argv[1])):
    X_mb, _ = mnist.train.next_batch(mb_size)
    _, d = sess.run([D_solver, D_loss], {X: X_mb, Z: sample_Z(mb_size, Z_dim)})
    _, g = sess.run([G_solver, G_loss], {Z: sample_Z(mb_size, Z_dim)})
    if it % 10 == 0:
        print('step %d loss %.4f generator %.4f' % (it, d, g))
if not os.path.exists('out/'):
    os.makedirs('out/')
samples = sess.run(sample, {Z: sample_Z(16, Z_dim)}).reshape(4, 4, 28, 28)
scipy.misc.imsave('out/samples.png', samples.transpose(0, 2, 1, 3).reshape(112, 112))
