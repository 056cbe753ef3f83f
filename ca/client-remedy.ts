/**
 * What brings a client to take the gateway's certificates, by the program that it runs. Pure. The variables are those
 * of client-environment.ts, which the installer has set already: who refuses all the same did not get them, has a
 * value of its own there, or started before.
 */
import type { ClientVariable } from './client-environment.ts'
import { clientRuntime } from './client-runtimes.ts'

const IN_A_CONTAINER =
  'its container does not know the CA: make the container anew with the arguments that `agent-anchor env --format docker` prints, or its image with the lines of `agent-anchor env --format dockerfile`'

/**
 * @param executable path of the program, ` (deleted)` behind it allowed; undefined where it isn't known
 * @param certificateFile the authority's PEM
 * @param container where it runs in one: none of the machine's settings reaches it there
 */
export function clientRemedy(
  executable: string | undefined,
  variables: readonly ClientVariable[],
  certificateFile: string,
  container?: string,
): string {
  if (container !== undefined) return IN_A_CONTAINER
  const known = clientRuntime(executable ?? '')
  const ownRoots = `it carries roots of its own or pins the provider's certificate: give it ${certificateFile} by a setting of its own, or let it pass unread (\`proxy.uninterceptable: splice\` in the policy)`
  if (known === undefined) return ownRoots
  const settings = variables
    .filter(({ name }) => known.variables.includes(name))
    .map(({ name, value }) => `${name}=${value}`)
  if (settings.length > 0)
    return `start it with ${settings.join(' ')}, from a new session or after eval "$(agent-anchor env)" (restart it, if it runs since before the installation)`
  const install = 'run `sudo agent-anchor trust install`, which brings every store up to date, and restart it'
  if (known.byHand === undefined) return `${install}; if it refuses all the same, ${ownRoots}`
  return `${install}; or ${known.byHand.replace('CERTIFICATE', certificateFile)}`
}
