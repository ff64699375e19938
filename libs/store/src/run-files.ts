/** Files of a run's folder. */
export const RUN_FILES = {
  job: 'job.json',
  events: 'events.jsonl',
  metrics: 'metrics.csv',
  checkpoints: 'checkpoint',
  recording: 'recording',
  model: 'model.safetensors',
  modelSidecar: 'model.json',
  report: 'report.html',
  owner: 'server.json',
} as const;
