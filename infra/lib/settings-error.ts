/** Something that whoever deploys has to mend, said in one line. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
}
