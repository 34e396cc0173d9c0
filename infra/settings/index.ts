import type { Settings } from '../lib/settings.ts';
import { local } from './local.ts';
import { production } from './production.ts';
import { staging } from './staging.ts';
import { trial } from './trial.ts';

/** The environments that can be deployed, by name. */
export const ENVIRONMENTS: Readonly<Record<string, Settings>> = { trial, staging, production, local };
