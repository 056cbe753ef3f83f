/**
 * The gateway's configuration: one file, /etc/agent-anchor/gateway.yaml, or the defaults without it.
 *
 * No environment variable is read, here or for a default: not AGENT_ANCHOR_*, not XDG_CONFIG_HOME or HOME, not
 * NODE_EXTRA_CA_CERTS, NODE_OPTIONS or SSL_CERT_FILE, not HTTP_PROXY, HTTPS_PROXY or NO_PROXY, not ETH_RPC_URL or
 * the like. A daemon's environment comes from whoever started it, can't be seen in a review, and differs between
 * systemd, cron and a shell; with one file, what is in force can be read in one place.
 *
 * Threat model: the file is the administrator's, but a damaged or half-written one must stop the start with a
 * place and a remedy, never weaken the gateway by falling back to something else.
 */
import type { z } from 'zod'
import { type Frozen, freeze } from '../../policies/frozen.ts'
import { PolicyError } from '../../policies/policy-error.ts'
import { readText } from '../../policies/read-text.ts'
import { parseYaml } from '../../policies/yaml-document.ts'
import { refuseKeysInText } from '../vault/plaintext.ts'
import { ConfigError } from './config-error.ts'
import { ConfigSchema } from './config-schema.ts'

/** Plain and frozen: it goes to other processes as it is. Paths are absolute. */
export type Config = Frozen<z.output<typeof ConfigSchema>>

export const defaultConfigFile = '/etc/agent-anchor/gateway.yaml'

/**
 * @param file absent: `fallback`, which needs not exist; named: it must
 * @throws ConfigError CONFIG_MISSING or CONFIG_INVALID
 */
export function loadConfig(file?: string, fallback: string = defaultConfigFile): Config {
  const path = file ?? fallback
  try {
    const text = readText(path)
    if (text !== undefined) refuseKeysInText(path, text)
    if (text !== undefined) return freeze(parseYaml(path, text, ConfigSchema))
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error
    throw new ConfigError('CONFIG_INVALID', error.message, error.remedy, error)
  }
  if (file === undefined) return freeze(ConfigSchema.parse({}))
  throw new ConfigError(
    'CONFIG_MISSING',
    `${file} does not exist`,
    `Name a configuration that is there, or leave it out: without one, the defaults hold.`,
  )
}
