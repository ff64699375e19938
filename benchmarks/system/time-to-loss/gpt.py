"""The `gpt` of Longtail's jobs in PyTorch, from the same weights and on the same samples (prepare.mjs), and what the two pages share:
a device of a pace, the learning rate's schedule, and the loss on the validation set."""
import json
import math
import time

import numpy as np
import torch
import torch.nn.functional as F


class Gpt(torch.nn.Module):
    def __init__(self, folder):
        super().__init__()
        described = json.load(open(f'{folder}/layout.json'))
        self.spec, raw = described['model'], np.fromfile(f'{folder}/weights.bin', dtype=np.float32)
        self.names = []
        for slot in described['slots']:
            value = torch.from_numpy(raw[slot['offset'] : slot['offset'] + slot['length']].reshape(slot['shape']).copy())
            if value.dim() == 2 and slot['name'] != 'embedding.table':
                value = value.t().contiguous()  # [in, out] to PyTorch's [out, in]
            self.register_parameter(slot['name'].replace('.', '/'), torch.nn.Parameter(value))
        length, width = self.spec['context'], self.spec['width'] // self.spec['heads']
        angles = torch.arange(length)[:, None] * 10000 ** (-torch.arange(width // 2) / (width // 2))
        self.cos, self.sin = angles.cos(), angles.sin()

    def at(self, name):
        return self._parameters[name.replace('.', '/')]

    def rotary(self, x):
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * self.cos - b * self.sin, b * self.cos + a * self.sin], dim=-1)

    def forward(self, tokens):
        """Mean cross-entropy of samples [batch, context + 1]."""
        tokens = tokens.long()
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        batch, length = inputs.shape
        width, heads = self.spec['width'], self.spec['heads']
        norm = lambda h, name: F.rms_norm(h, (width,), self.at(name), 1e-5)
        h = F.embedding(inputs, self.at('embedding.table'))
        for i in range(self.spec['layers']):
            at = lambda name: self.at(f'layer{i}.{name}')
            x = norm(h, f'layer{i}.attention.norm')
            q, k, v = (F.linear(x, at(f'attention.{p}')).view(batch, length, heads, -1).transpose(1, 2) for p in ('query', 'key', 'value'))
            attended = F.scaled_dot_product_attention(self.rotary(q), self.rotary(k), v, is_causal=True)
            h = h + F.linear(attended.transpose(1, 2).reshape(batch, length, width), at('attention.output'))
            x = norm(h, f'layer{i}.feed-forward.norm')
            h = h + F.linear(F.silu(F.linear(x, at('feed-forward.gate'))) * F.linear(x, at('feed-forward.up')), at('feed-forward.down'))
        return F.cross_entropy(F.linear(norm(h, 'head.norm'), self.at('embedding.table')).flatten(0, 1), targets.flatten())


def samples(folder, split, length):
    return torch.from_numpy(np.fromfile(f'{folder}/{split}.bin', dtype=np.int32).reshape(-1, length + 1))


def validate(model, rows):
    with torch.no_grad():
        return sum(model(part).item() * len(part) for part in rows.split(32)) / len(rows)


def adamw(model, recipe):
    return torch.optim.AdamW(model.parameters(), lr=recipe['learningRate'], betas=(0.9, recipe['beta2']), weight_decay=recipe['weightDecay'], fused=True)


def set_rate(optimizer, recipe, step, steps):
    """Linear warm-up, then half a cosine down to the floor: libs/kernels/src/learning-rate.ts."""
    warm = int(0.5 + recipe['warmup'] * steps)
    along = min(1, (step - warm) / max(1, steps - 1 - warm))
    cosine = recipe['floor'] + (1 - recipe['floor']) * (1 + math.cos(math.pi * along)) / 2
    for group in optimizer.param_groups:
        group['lr'] = recipe['learningRate'] * ((step + 1) / warm if step < warm else cosine)


class Device:
    """As slow as its pace: work of t seconds is followed by a rest, so that both take t / pace."""

    def __init__(self, pace):
        self.pace, self.least = pace, math.inf

    def run(self, work):
        start = time.perf_counter()
        result = work()
        took = time.perf_counter() - start
        # What the host took beyond the device's own time is not stretched (Longtail's `throttle` does the same).
        self.least = min(self.least, took)
        rest = self.least / self.pace - took
        if rest > 0:
            time.sleep(rest)
        return result
