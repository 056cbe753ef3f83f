import { AnchorError } from '../base/errors.ts'

type ConfigErrorCode =
  /** A file was named, and it isn't there. */
  | 'CONFIG_MISSING'
  /** It is there and can't be used; the message lists what is wrong, with places. */
  | 'CONFIG_INVALID'

export class ConfigError extends AnchorError<ConfigErrorCode> {}
