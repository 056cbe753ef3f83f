/**
 * What brings a client to take the gateway's certificates, by the program that it runs. Pure. The variables are those
 * of client-environment.ts, which the installer has set already: who refuses all the same did not get them, has a
 * value of its own there, or started before.
 */
import { basename } from 'node:path'
import type { ClientVariable } from './client-environment.ts'

/** By the file name of the executable. */
const RUNTIMES: readonly (readonly [name: RegExp, variables: readonly string[], more?: string])[] = [
  [/^node(js)?\d*$/, ['NODE_EXTRA_CA_CERTS']],
  [/^bun$/, ['NODE_EXTRA_CA_CERTS']],
  [/^deno$/, ['DENO_TLS_CA_STORE']],
  [/^(python|pypy)[\d.]*$/, ['SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE']],
  [/^pip[\d.]*$/, ['PIP_CERT']],
  [/^uvx?$/, ['UV_SYSTEM_CERTS']],
  [/^aws$/, ['AWS_CA_BUNDLE']],
  [/^cargo$/, ['CARGO_HTTP_CAINFO']],
  [
    /^java$/,
    [],
    'import the certificate into the keystore of that Java (`keytool -importcert -cacerts`), or start it with JDK_JAVA_OPTIONS=-Djavax.net.ssl.trustStore=/etc/ssl/certs/java/cacerts',
  ],
  [
    /^(chrom(e|ium).*|firefox.*)$/,
    [],
    "add the certificate to that user's store: `certutil -A -t C,, -n agent-anchor -d sql:$HOME/.pki/nssdb -i CERTIFICATE`",
  ],
]

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
  const program = basename((executable ?? '').replace(/ \(deleted\)$/, ''))
  const known = RUNTIMES.find(([name]) => name.test(program))
  const settings = variables
    .filter(({ name }) => known?.[1].includes(name))
    .map(({ name, value }) => `${name}=${value}`)
  if (settings.length > 0)
    return `start it with ${settings.join(' ')}, from a new session or after eval "$(agent-anchor env)" (restart it, if it runs since before the installation)`
  if (known?.[2] !== undefined) return known[2].replace('CERTIFICATE', certificateFile)
  return `it carries roots of its own or pins the provider's certificate: give it ${certificateFile} by a setting of its own, or let it pass unread (\`proxy.uninterceptable: splice\` in the policy)`
}
