"""The benchmark's models in PyTorch, with the weights and data of the Longtail process. Same lines as trainee.mjs:
build FOLDER, step N, peak. Arguments: eager|compile MODEL THREADS."""

import json
import re
import sys
import time
import warnings

import numpy as np
import torch
import torch.nn.functional as F

variant, name, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(threads)
warnings.filterwarnings("ignore")
EMBEDDINGS = ("embed.tokens", "embed.positions")
RATE = {"mlp": 1e-3, "cnn": 1e-4, "gpt": 1e-3}[name]


def load(folder):
    raw = np.fromfile(f"{folder}/weights.bin", dtype=np.float32)
    parameters = {}
    for slot in json.load(open(f"{folder}/layout.json")):
        value = torch.from_numpy(raw[slot["offset"] : slot["offset"] + slot["length"]].reshape(slot["shape"]).copy())
        if value.dim() == 4:  # [height, width, in, out] to PyTorch's [out, in, height, width]
            value = value.permute(3, 2, 0, 1).contiguous()
        elif value.dim() == 2 and slot["name"] not in EMBEDDINGS:  # [in, out] to [out, in]
            value = value.t().contiguous()
        parameters[slot["name"]] = value.requires_grad_()
    inputs = torch.from_numpy(np.fromfile(f"{folder}/inputs.bin", dtype=np.int32 if name == "gpt" else np.float32))
    targets = torch.from_numpy(np.fromfile(f"{folder}/targets.bin", dtype=np.int32)).long()
    return parameters, inputs, targets


def linear(p, layer, x):
    return F.linear(x, p[f"{layer}.weights"], p.get(f"{layer}.bias"))


def mlp_loss(p, x, y):
    x = F.relu(linear(p, "dense1", x.view(-1, 784)))
    return F.cross_entropy(linear(p, "dense3", F.relu(linear(p, "dense2", x))), y)


def cnn_loss(p, x, y):
    x = x.view(-1, 1, 28, 28)  # one channel: channels first and channels last are the same bytes
    x = F.relu(F.conv2d(x, p["conv1.kernel"], p["conv1.bias"]))
    x = F.max_pool2d(F.relu(F.conv2d(x, p["conv2.kernel"], p["conv2.bias"])), 2, 2)
    x = x.permute(0, 2, 3, 1).flatten(1)  # the order of dense1's inputs
    return F.cross_entropy(linear(p, "dense2", F.relu(linear(p, "dense1", x))), y)


def gpt_loss(p, x, y, batch=8, context=128, width=256, layers=4, heads=4):
    norm = lambda layer, h: F.layer_norm(h, (width,), p[f"{layer}.gain"], p[f"{layer}.bias"], 1e-5)
    h = F.embedding(x.long(), p["embed.tokens"]).view(batch, context, width) + p["embed.positions"]
    for i in range(layers):
        at = f"layer{i}"
        q, k, v = linear(p, f"{at}.qkv", norm(f"{at}.norm1", h)).view(batch, context, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + linear(p, f"{at}.out", attended.transpose(1, 2).reshape(batch, context, width))
        h = h + linear(p, f"{at}.down", F.gelu(linear(p, f"{at}.up", norm(f"{at}.norm2", h)), approximate="tanh"))
    return F.cross_entropy(linear(p, "head", norm("head.norm", h)).view(batch * context, -1), y)


class Trainee:
    def build(self, folder):
        self.parameters, self.inputs, self.targets = load(folder)
        loss = {"mlp": mlp_loss, "cnn": cnn_loss, "gpt": gpt_loss}[name]
        self.loss = torch.compile(loss) if variant == "compile" else loss
        self.optimizer = torch.optim.Adam(self.parameters.values(), lr=RATE, eps=1e-7, fused=True)
        return {"description": f"PyTorch {torch.__version__}, {variant}, fused Adam, {threads} threads"}

    def step(self, count):
        ms, losses = [], []
        for _ in range(count):
            start = time.perf_counter()
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.loss(self.parameters, self.inputs, self.targets)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
            ms.append((time.perf_counter() - start) * 1e3)
        return {"ms": ms, "losses": losses}

    def peak(self):
        return {"peakBytes": int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) * 1024}


trainee = Trainee()
for line in sys.stdin:
    command, *arguments = line.split()
    if command == "build":
        answer = trainee.build(arguments[0])
    elif command == "step":
        answer = trainee.step(int(arguments[0]))
    else:
        answer = trainee.peak()
    print(json.dumps(answer), flush=True)
