"""gloo all-reduce of MB megabytes of float32 over K processes: one JSON line {"ms": ...} a round, the slowest rank's time.

Usage: gloo.py '{"workers": 4, "length": 25000000, "rounds": 7}'                      all ranks on this machine
       gloo.py '{..., "rank": 2, "master": "10.77.0.1", "interface": "veth0"}'        one rank
"""
import json
import os
import socket
import sys
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

WARM_UP_ROUNDS = 10


def run(rank, options):
    torch.set_num_threads(1)
    if 'interface' in options:
        os.environ['GLOO_SOCKET_IFNAME'] = options['interface']
    master = options.get('master', '127.0.0.1')
    dist.init_process_group('gloo', init_method=f"tcp://{master}:{options['port']}", rank=rank, world_size=options['workers'])
    gradient = torch.empty(options['length'])
    cpu = 0
    for round in range(options['rounds']):
        gradient.fill_(rank + 1.0)
        dist.barrier()
        start, cpu_start = time.perf_counter(), time.process_time()
        dist.all_reduce(gradient)
        cpu += (time.process_time() - cpu_start if round >= WARM_UP_ROUNDS else 0)
        ms = torch.tensor([(time.perf_counter() - start) * 1000])
        dist.all_reduce(ms, op=dist.ReduceOp.MAX)
        assert gradient[-1].item() == options['workers'] * (options['workers'] + 1) / 2
        if rank == 0:
            print(json.dumps({'ms': ms.item()}), flush=True)
    total = torch.tensor([cpu * 1000])
    dist.all_reduce(total)
    if rank == 0:
        print(json.dumps({'cpuMs': total.item() / (options['rounds'] - WARM_UP_ROUNDS)}), flush=True)
    dist.destroy_process_group()


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


if __name__ == '__main__':
    options = json.loads(sys.argv[1])
    if 'rank' in options:
        run(options['rank'], options)
    else:
        options['port'] = free_port()
        mp.spawn(run, args=(options,), nprocs=options['workers'])
