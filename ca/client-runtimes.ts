/**
 * The one table of clients' runtimes: by which programs each is known, and from what it learns to trust the authority.
 * `trust list` shows by it what is on the machine, `doctor` says by it what a client that refuses needs. Pure.
 */
import { basename } from 'node:path'

export interface ClientRuntime {
  readonly name: string
  /** File name of its executable. */
  readonly program: RegExp
  /** Those of client-environment.ts that it needs; where there are none it reads a store. */
  readonly variables: readonly string[]
  /** Stores of its own kind that it reads, by what their names begin with; where there are none, the system's. */
  readonly stores: readonly string[]
  /** Without our stores, by hand; CERTIFICATE stands for the authority's file. */
  readonly byHand?: string
  /** The argument that makes it tell its version at once. */
  readonly versionOption: string
}

const runtime = (
  name: string,
  program: RegExp,
  more: Partial<Omit<ClientRuntime, 'name' | 'program'>> = {},
): ClientRuntime => ({ name, program, variables: [], stores: [], versionOption: '--version', ...more })

export const CLIENT_RUNTIMES: readonly ClientRuntime[] = [
  runtime('Node', /^node(js)?\d*$/, { variables: ['NODE_EXTRA_CA_CERTS'] }),
  runtime('Bun', /^bun$/, { variables: ['NODE_EXTRA_CA_CERTS'] }),
  runtime('Deno', /^deno$/, { variables: ['DENO_TLS_CA_STORE'] }),
  runtime('Python', /^(python|pypy)[\d.]*$/, { variables: ['SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE'] }),
  runtime('pip', /^pip[\d.]*$/, { variables: ['PIP_CERT'] }),
  runtime('uv', /^uvx?$/, { variables: ['UV_SYSTEM_CERTS'] }),
  runtime('AWS CLI', /^aws$/, { variables: ['AWS_CA_BUNDLE'] }),
  runtime('cargo', /^cargo$/, { variables: ['CARGO_HTTP_CAINFO'] }),
  runtime('Java', /^java$/, {
    stores: ['java:'],
    versionOption: '-version',
    byHand:
      'import the certificate into the keystore of that Java (`keytool -importcert -cacerts`), or start it with JDK_JAVA_OPTIONS=-Djavax.net.ssl.trustStore=/etc/ssl/certs/java/cacerts',
  }),
  runtime('Chromium', /^(google-)?chrom(e|ium)(-browser|-stable)?$/, {
    stores: ['policy:', 'nss:'],
    byHand:
      "add the certificate to that user's store: `certutil -A -t C,, -n agent-anchor -d sql:$HOME/.pki/nssdb -i CERTIFICATE`",
  }),
  runtime('Firefox', /^firefox(-esr)?$/, {
    stores: ['nss:'],
    byHand:
      'add the certificate in its settings (Certificates, Authorities), or with `certutil -A -t C,, -n agent-anchor -d sql:PROFILE -i CERTIFICATE`',
  }),
  runtime('Go', /^go$/, { versionOption: 'version' }),
  runtime('Ruby', /^ruby[\d.]*$/),
  runtime('PHP', /^php[\d.]*$/),
  runtime('Perl', /^perl[\d.]*$/),
  runtime('curl', /^curl$/),
  runtime('wget', /^wget$/),
  runtime('git', /^git$/),
]

/** @param executable its path, ` (deleted)` behind it allowed */
export function clientRuntime(executable: string): ClientRuntime | undefined {
  const program = basename(executable.replace(/ \(deleted\)$/, ''))
  return CLIENT_RUNTIMES.find((each) => each.program.test(program))
}
