// Optimizer steps in place. Every coefficient is ready-made (libs/kernels/src/optimizer.ts derives them in float64), so a
// kernel is only the arithmetic that each value needs. The scalar loops repeat the vector expressions term by term.

/** SGD: g = scale·gradient + weightDecay·p; p −= learningRate·g. */
export function sgd(p: usize, gradient: usize, n: usize, scale: f32, learningRate: f32, weightDecay: f32): void {
  const s = f32x4.splat(scale);
  const lr = f32x4.splat(learningRate);
  const wd = f32x4.splat(weightDecay);
  const wide = p + ((n & ~3) << 2);
  const end = p + (n << 2);
  while (p < wide) {
    const x = v128.load(p);
    const g = f32x4.add(f32x4.mul(s, v128.load(gradient)), f32x4.mul(wd, x));
    v128.store(p, f32x4.sub(x, f32x4.mul(lr, g)));
    p += 16;
    gradient += 16;
  }
  while (p < end) {
    const x = load<f32>(p);
    const g: f32 = scale * load<f32>(gradient) + weightDecay * x;
    store<f32>(p, x - learningRate * g);
    p += 4;
    gradient += 4;
  }
}

/**
 * SGD with momentum: g as above; b = momentum·b + g; p −= learningRate·(direct·g + carried·b). Classic momentum is
 * direct 0, carried 1; Nesterov's is direct 1, carried momentum.
 */
export function sgdMomentum(
  p: usize, gradient: usize, b: usize, n: usize,
  scale: f32, learningRate: f32, weightDecay: f32, momentum: f32, direct: f32, carried: f32,
): void {
  const s = f32x4.splat(scale);
  const lr = f32x4.splat(learningRate);
  const wd = f32x4.splat(weightDecay);
  const mu = f32x4.splat(momentum);
  const d = f32x4.splat(direct);
  const c = f32x4.splat(carried);
  const wide = p + ((n & ~3) << 2);
  const end = p + (n << 2);
  while (p < wide) {
    const x = v128.load(p);
    const g = f32x4.add(f32x4.mul(s, v128.load(gradient)), f32x4.mul(wd, x));
    const buffer = f32x4.add(f32x4.mul(mu, v128.load(b)), g);
    v128.store(b, buffer);
    v128.store(p, f32x4.sub(x, f32x4.mul(lr, f32x4.add(f32x4.mul(d, g), f32x4.mul(c, buffer)))));
    p += 16;
    gradient += 16;
    b += 16;
  }
  while (p < end) {
    const x = load<f32>(p);
    const g: f32 = scale * load<f32>(gradient) + weightDecay * x;
    const buffer: f32 = momentum * load<f32>(b) + g;
    store<f32>(b, buffer);
    store<f32>(p, x - learningRate * (direct * g + carried * buffer));
    p += 4;
    gradient += 4;
    b += 4;
  }
}

/**
 * Adam and AdamW: g = scale·gradient + l2·p; m += (1−β1)(g−m); v = β2·v + (1−β2)·g²;
 * p = keep·p − stepSize·m / (√v·rootScale + ε), with stepSize = lr / (1−β1^t) and rootScale = 1 / √(1−β2^t).
 */
export function adam(
  p: usize, gradient: usize, m: usize, v: usize, n: usize,
  scale: f32, l2: f32, keep: f32, oneMinusBeta1: f32, beta2: f32, oneMinusBeta2: f32,
  stepSize: f32, rootScale: f32, epsilon: f32,
): void {
  const S = f32x4.splat(scale);
  const L2 = f32x4.splat(l2);
  const K = f32x4.splat(keep);
  const A1 = f32x4.splat(oneMinusBeta1);
  const B2 = f32x4.splat(beta2);
  const A2 = f32x4.splat(oneMinusBeta2);
  const step = f32x4.splat(stepSize);
  const root = f32x4.splat(rootScale);
  const eps = f32x4.splat(epsilon);
  const wide = p + ((n & ~3) << 2);
  const end = p + (n << 2);
  while (p < wide) {
    const x = v128.load(p);
    const g = f32x4.add(f32x4.mul(S, v128.load(gradient)), f32x4.mul(L2, x));
    const m0 = v128.load(m);
    const m1 = f32x4.add(m0, f32x4.mul(A1, f32x4.sub(g, m0)));
    const v1 = f32x4.add(f32x4.mul(B2, v128.load(v)), f32x4.mul(A2, f32x4.mul(g, g)));
    v128.store(m, m1);
    v128.store(v, v1);
    const denominator = f32x4.add(f32x4.mul(f32x4.sqrt(v1), root), eps);
    v128.store(p, f32x4.sub(f32x4.mul(K, x), f32x4.div(f32x4.mul(step, m1), denominator)));
    p += 16;
    gradient += 16;
    m += 16;
    v += 16;
  }
  while (p < end) {
    const x = load<f32>(p);
    const g: f32 = scale * load<f32>(gradient) + l2 * x;
    const m0 = load<f32>(m);
    const m1: f32 = m0 + oneMinusBeta1 * (g - m0);
    const v1: f32 = beta2 * load<f32>(v) + oneMinusBeta2 * (g * g);
    store<f32>(m, m1);
    store<f32>(v, v1);
    const denominator: f32 = sqrt<f32>(v1) * rootScale + epsilon;
    store<f32>(p, keep * x - (stepSize * m1) / denominator);
    p += 4;
    gradient += 4;
    m += 4;
    v += 4;
  }
}
