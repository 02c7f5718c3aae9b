"""Irises in PyTorch: batch norm, dropout, a hundred steps."""

import numpy as np
import torch
from sklearn.datasets import load_iris
from torch import nn

x, y = load_iris(return_X_y=True)
x = torch.tensor(x, dtype=torch.float32)
y = torch.tensor(y)

torch.manual_seed(0)
net = nn.Sequential(
    nn.Linear(4, 4),
    nn.BatchNorm1d(4),
    nn.ReLU(),
    nn.Dropout(0.1),
    nn.Linear(4, 3),
)
optimizer = torch.optim.SGD(net.parameters(), lr=0.5)


def step(x, y):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


net.train()
losses = [step(x, y) for _ in range(100)]

net.eval()
with torch.no_grad():
    logits = net(x)
print(f"loss {losses[0]:.4f}, the last {losses[-1]:.4f}")
print(f"accuracy {(logits.argmax(-1) == y).float().mean():.4f}")
print("logits =", logits[[0, 50, 100]].double().numpy().round(4).tolist())
for name, array in net.state_dict().items():
    print(f"{name} =", np.round(array.double().numpy(), 5).tolist())
