'''A convolutional network in the words of Keras 1.'''
from __future__ import print_function
import sys
import numpy as np
np.random.seed(1337)

from keras.datasets import mnist
from keras.models import Sequential
from keras.layers.core import Dense, Dropout, Activation, Flatten
from keras.layers.convolutional import Convolution2D, MaxPooling2D
from keras.optimizers import SGD
from keras.utils import np_utils
from keras import backend as K

K.set_image_dim_ordering('th')
nb_classes = 10
(X_train, y_train), (X_test, y_test) = mnist.load_data()
X_train = X_train.reshape(X_train.shape[0], 1, 28, 28).astype('float32') / 255
X_test = X_test.reshape(X_test.shape[0], 1, 28, 28).astype('float32') / 255
Y_train = np_utils.to_categorical(y_train, nb_classes)
Y_test = np_utils.to_categorical(y_test, nb_classes)

model = Sequential()
model.add(Convolution2D(4, 3, 3, border_mode='valid', subsample=(2, 2),
                        input_shape=(1, 28, 28)))
model.add(Activation('relu'))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Dropout(p=0.1))
model.add(Flatten())
model.add(Dense(output_dim=nb_classes, init='uniform'))
model.add(Activation('softmax'))
sgd = SGD(lr=0.05, decay=1e-6, momentum=0.9, nesterov=True)
model.compile(loss='categorical_crossentropy', optimizer=sgd, metrics=['accuracy'])
hist = model.fit(X_train, Y_train, batch_size=64, nb_epoch=int(sys.argv[1]), verbose=0,
                 validation_data=(X_test, Y_test))
for i, loss in enumerate(hist.history['loss']):
    print('step', i, 'loss', loss)
assert hist.history['val_accuracy'] == hist.history['val_acc']
score = model.evaluate(X_test, Y_test, verbose=0)
print(K.image_dim_ordering(), [w.shape for w in model.get_weights()])
print('accuracy', score[1])
