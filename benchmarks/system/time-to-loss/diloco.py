"""DiLoCo (Douillard et al. 2023, arXiv 2311.08105) in PyTorch, one rank: diloco.py '{"rank": 0, "world": 4, "pace": 0.5, ...}'. Each rank
takes `inner` steps of AdamW for itself, then the mean of how far they moved is all-reduced in float32 by gloo, and all take the same
step of Nesterov's momentum (0.7, 0.9) along it. Rank 0 prints a JSON line after each round: its seconds, and the validation loss."""
import json
import os
import sys
import time

import torch
import torch.distributed as dist

import gpt


def run(rank, world, pace, folder, rounds, totalRounds, inner, localBatch, recipe, master, port, interface, validate):
    torch.set_num_threads(1)
    os.environ['GLOO_SOCKET_IFNAME'] = interface
    dist.init_process_group('gloo', init_method=f'tcp://{master}:{port}', rank=rank, world_size=world)
    model, device = gpt.Gpt(folder), gpt.Device(pace)
    rows = gpt.samples(folder, 'train', model.spec['context'])
    validation = gpt.samples(folder, 'validation', model.spec['context'])
    optimizer = gpt.adamw(model, recipe)
    shared = [p.detach().clone() for p in model.parameters()]
    outer = torch.optim.SGD(shared, lr=0.7, momentum=0.9, nesterov=True)

    def step(batch):
        model(batch).backward()
        optimizer.step()
        optimizer.zero_grad()

    for round in range(rounds):
        dist.barrier()
        start = time.perf_counter()
        for i in range(inner):
            gpt.set_rate(optimizer, recipe, round * inner + i, totalRounds * inner)
            first = ((round * inner + i) * world + rank) * localBatch
            device.run(lambda: step(rows[first : first + localBatch]))
        flat = torch.cat([(own - p.detach()).flatten() for own, p in zip(shared, model.parameters())])
        dist.all_reduce(flat)
        for own, move in zip(shared, (flat / world).split([p.numel() for p in shared])):
            own.grad = move.view_as(own)
        outer.step()
        for own, p in zip(shared, model.parameters()):
            p.data.copy_(own)
        if rank == 0:
            seconds = time.perf_counter() - start
            loss = gpt.validate(model, validation) if validate else None
            print(json.dumps({'seconds': seconds, 'loss': loss}), flush=True)
    dist.barrier()
    dist.destroy_process_group()


run(**json.loads(sys.argv[1]))
