import type { Settings } from '../lib/settings.ts';
import { trial } from './trial.ts';

/** The data stack in an emulator: no alarms, and the processor of this machine. The service is not deployed there. */
export const local: Settings = {
  ...trial,
  environment: 'local',
  stacks: 'data',
  data: { ...trial.data, publisherArchitecture: process.arch === 'arm64' ? 'arm64' : 'x86_64' },
  alarms: { enabled: false },
};
