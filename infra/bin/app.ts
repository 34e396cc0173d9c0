import { chosenSettings, deployment, newApp } from '../lib/deployment.ts';
import { SettingsError } from '../lib/settings-error.ts';
import { ENVIRONMENTS } from '../settings/index.ts';

try {
  const app = newApp();
  deployment(app, chosenSettings(app, ENVIRONMENTS));
  app.synth();
} catch (error) {
  if (!(error instanceof SettingsError)) {
    throw error;
  }
  console.error(`roomcast: ${error.message}`);
  process.exitCode = 1;
}
