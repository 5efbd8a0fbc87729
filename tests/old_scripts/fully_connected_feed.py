"""The tutorials' own network, trained by feeding, with summaries and checkpoints."""
import os
import time

from six.moves import xrange
import tensorflow as tf

from tensorflow.examples.tutorials.mnist import input_data
from tensorflow.examples.tutorials.mnist import mnist

flags = tf.app.flags
FLAGS = flags.FLAGS
flags.DEFINE_float('learning_rate', 0.1, 'Initial learning rate.')
flags.DEFINE_integer('max_steps', 2000, 'Number of steps to run trainer.')
flags.DEFINE_integer('batch_size', 50, 'Must divide evenly into the data set sizes.')
flags.DEFINE_string('input_data_dir', 'MNIST_data', 'Directory of the data.')
flags.DEFINE_string('log_dir', 'logs', 'Directory for the summaries.')


def fill_feed_dict(data_set, images_pl, labels_pl):
    images_feed, labels_feed = data_set.next_batch(FLAGS.batch_size)
    return {images_pl: images_feed, labels_pl: labels_feed}


def do_eval(sess, eval_correct, images_pl, labels_pl, data_set):
    true_count = 0
    steps_per_epoch = data_set.num_examples // FLAGS.batch_size
    num_examples = steps_per_epoch * FLAGS.batch_size
    for step in xrange(steps_per_epoch):
        feed_dict = fill_feed_dict(data_set, images_pl, labels_pl)
        true_count += sess.run(eval_correct, feed_dict=feed_dict)
    print('accuracy %0.04f' % (float(true_count) / num_examples))


def main(_):
    if tf.gfile.Exists(FLAGS.log_dir):
        tf.gfile.DeleteRecursively(FLAGS.log_dir)
    tf.gfile.MakeDirs(FLAGS.log_dir)
    data_sets = input_data.read_data_sets(FLAGS.input_data_dir)
    with tf.Graph().as_default():
        images_pl = tf.placeholder(
            tf.float32, shape=(FLAGS.batch_size, mnist.IMAGE_PIXELS))
        labels_pl = tf.placeholder(tf.int32, shape=(FLAGS.batch_size))
        logits = mnist.inference(images_pl, 128, 32)
        loss = mnist.loss(logits, labels_pl)
        train_op = mnist.training(loss, FLAGS.learning_rate)
        eval_correct = mnist.evaluation(logits, labels_pl)
        summary = tf.summary.merge_all()
        saver = tf.train.Saver()
        sess = tf.Session()
        summary_writer = tf.summary.FileWriter(FLAGS.log_dir, sess.graph)
        sess.run(tf.global_variables_initializer())
        for step in xrange(FLAGS.max_steps):
            start_time = time.time()
            feed_dict = fill_feed_dict(data_sets.train, images_pl, labels_pl)
            _, loss_value = sess.run([train_op, loss], feed_dict=feed_dict)
            duration = time.time() - start_time
            if step % 10 == 0:
                print('step %d loss %.4f (%.3f sec)' % (step, loss_value, duration))
                summary_writer.add_summary(sess.run(summary, feed_dict=feed_dict), step)
                summary_writer.flush()
        saver.save(sess, os.path.join(FLAGS.log_dir, 'model.ckpt'), global_step=step)
        do_eval(sess, eval_correct, images_pl, labels_pl, data_sets.validation)


if __name__ == '__main__':
    tf.app.run()
