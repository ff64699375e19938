"""Push and pull through TensorFlow's own gRPC runtime: K workers add their gradient to a parameter server's variables, then read them.

The vector lies in `pieces` variables: with one, a tensor is one message; with several TensorFlow overlaps them. `resource`: resource variables,
which is what a tf.Variable is in TensorFlow 2; without it the reference variables of TensorFlow 1. One JSON line {"ms": ...} a round, from the start signal until every
worker has pulled. Usage: tf_grpc.py '{"workers": 4, "length": 25000000, "rounds": 20, "pieces": 16, "resource": false}'
"""
import json
import os
import socket
import sys
import time
from multiprocessing import get_context

os.environ.update(TF_CPP_MIN_LOG_LEVEL='3', CUDA_VISIBLE_DEVICES='-1')
WARM_UP_ROUNDS = 10


def graph(tf, options, task):
    pieces, resource = options['pieces'], options['resource']
    sizes = [options['length'] // pieces] * pieces
    sizes[-1] += options['length'] % pieces
    with tf.device('/job:ps/task:0'):
        shards = [tf.compat.v1.get_variable(f's{i}', shape=[n], initializer=tf.compat.v1.zeros_initializer(), use_resource=resource) for i, n in enumerate(sizes)]
    with tf.device(f'/job:worker/task:{task}'):
        gradients = [tf.compat.v1.get_local_variable(f'g{task}_{i}', shape=[n], initializer=tf.compat.v1.ones_initializer(), use_resource=resource) for i, n in enumerate(sizes)]
    with tf.device('/job:ps/task:0'):
        push = tf.group(*[s.assign_add(g.read_value(), read_value=False) if resource else tf.compat.v1.assign_add(s, g) for s, g in zip(shards, gradients)])
    with tf.device(f'/job:worker/task:{task}'):
        pull = tf.group(*[s.read_value() if resource else tf.raw_ops.Identity(input=s) for s in shards])
    return push, pull


def serve(cluster, job, task, pipe, options):
    import tensorflow as tf

    tf.compat.v1.disable_eager_execution()
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=2)
    server = tf.distribute.Server(cluster, job_name=job, task_index=task, config=config)
    if job == 'ps':
        pipe.recv()
        pipe.send(cpu_ms())
        pipe.recv()
        pipe.send(cpu_ms())
        os._exit(0)
    push, pull = graph(tf, options, task)
    with tf.compat.v1.Session(server.target, config=config) as session:
        session.run([tf.compat.v1.global_variables_initializer(), tf.compat.v1.local_variables_initializer()])
        pipe.send('ready')
        while (word := pipe.recv()) != 'end':
            if word == 'cpu':
                pipe.send(cpu_ms())
                continue
            session.run(push)
            pipe.send('pushed')
            pipe.recv()
            session.run(pull)
            pipe.send('pulled')
    os._exit(0)


def cpu_ms():
    return time.process_time() * 1000


def free_address():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return f'127.0.0.1:{s.getsockname()[1]}'


def everyone(pipes, word):
    for pipe in pipes:
        pipe.send(word)
    return [pipe.recv() for pipe in pipes]


def main(options):
    cluster = {'ps': [free_address()], 'worker': [free_address() for _ in range(options['workers'])]}
    context = get_context('spawn')
    pipes = []
    for job, task in [('ps', 0)] + [('worker', task) for task in range(options['workers'])]:
        ours, theirs = context.Pipe()
        context.Process(target=serve, args=(cluster, job, task, theirs, options)).start()
        pipes.append(ours)
    ps, *workers = pipes
    for pipe in workers:
        pipe.recv()
    for round in range(options['rounds']):
        if round == WARM_UP_ROUNDS:
            before = sum(everyone(pipes, 'cpu'))
        start = time.perf_counter()
        everyone(workers, 'push')
        everyone(workers, 'pull')
        print(json.dumps({'ms': (time.perf_counter() - start) * 1000}), flush=True)
    print(json.dumps({'cpuMs': (sum(everyone(pipes, 'cpu')) - before) / (options['rounds'] - WARM_UP_ROUNDS)}), flush=True)
    for pipe in workers:
        pipe.send('end')


if __name__ == '__main__':
    main(json.loads(sys.argv[1]))
