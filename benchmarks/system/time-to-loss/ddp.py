"""PyTorch DistributedDataParallel over gloo, one rank: ddp.py '{"rank": 0, "world": 4, "pace": 0.5, ...}'. Each rank has an equal part
of the batch. Rank 0 prints a JSON line: seconds of each step, and the validation loss after the last."""
import json
import os
import sys
import time

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import gpt


def run(rank, world, pace, folder, steps, total, batch, recipe, master, port, interface, warmUp):
    torch.set_num_threads(1)
    os.environ['GLOO_SOCKET_IFNAME'] = interface
    dist.init_process_group('gloo', init_method=f'tcp://{master}:{port}', rank=rank, world_size=world)
    model, device = gpt.Gpt(folder), gpt.Device(pace)
    rows = gpt.samples(folder, 'train', model.spec['context'])
    parallel, optimizer = DistributedDataParallel(model), gpt.adamw(model, recipe)
    # DDP sends gradients while backward goes on: the device's pace is that of passes alone, and the rest is taken before them.
    own = batch // world
    for i in range(3):
        with parallel.no_sync():
            device.run(lambda: parallel(rows[i * own : (i + 1) * own]).backward())
    optimizer.zero_grad()
    seconds = []
    for step in range(steps):
        start = time.perf_counter()
        gpt.set_rate(optimizer, recipe, step, total)
        time.sleep(device.least * (1 / pace - 1))
        first = step * batch + rank * own
        parallel(rows[first : first + own]).backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    if rank == 0:
        loss = gpt.validate(model, gpt.samples(folder, 'validation', model.spec['context']))
        print(json.dumps({'seconds': seconds[warmUp:], 'loss': loss}), flush=True)
    dist.barrier()
    dist.destroy_process_group()


run(**json.loads(sys.argv[1]))
