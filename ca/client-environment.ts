/**
 * The one list of variables by which runtimes with roots of their own learn to trust the authority. All
 * others read the operating system's store. `add` leaves the runtime's own roots in force and gets our
 * certificate; `replace` puts a file in their place and therefore gets the distribution's whole bundle,
 * into which the trust store has put us: our bare certificate would cut a client off from every other site.
 *
 * Left out on purpose: CURL_CA_BUNDLE (curl reads the store, requests has its own variable), NODE_OPTIONS
 * (`--use-system-ca` there breaks Node 18 and 20), JAVA_TOOL_OPTIONS (prints to stderr at each start).
 */
import { CaError } from './ca-error.ts'

export interface ClientVariable {
  readonly name: string
  readonly value: string
  readonly kind: 'add' | 'replace'
  /** For a variable that names a file: our certificate, to append to a file of the user's own. */
  readonly certificateFile?: string
  readonly runtimes: string
}

/** A variable that the user had set to something else: theirs stays, and they are told what it takes. */
export interface KeptVariable {
  readonly name: string
  readonly theirs: string
  readonly remedy: string
}

/** Nothing that a shell, PAM or systemd would expand, split or end a value at. */
const SAFE_VALUE = /^[A-Za-z0-9_./,:=+-]+$/

/**
 * @param files `certificateFile` is our authority's PEM, `bundleFile` the distribution's bundle with it
 * @throws CaError `environment-value-unsafe` for a path with spaces, quotes and the like
 */
export function clientEnvironment(files: { certificateFile: string; bundleFile: string }): ClientVariable[] {
  const { certificateFile, bundleFile } = files
  for (const path of [certificateFile, bundleFile]) {
    if (path.startsWith('/') && SAFE_VALUE.test(path)) continue
    throw new CaError(
      'environment-value-unsafe',
      `${JSON.stringify(path)} can't stand in a machine-wide environment file`,
      'Choose a state directory with an absolute path of letters, digits, dots, hyphens and underscores.',
    )
  }
  const bundle = { value: bundleFile, kind: 'replace', certificateFile } as const
  const setting = { kind: 'add' } as const
  return [
    {
      name: 'NODE_EXTRA_CA_CERTS',
      value: certificateFile,
      kind: 'add',
      certificateFile,
      runtimes: 'Node (all versions), Bun, Deno',
    },
    // For those who keep a NODE_EXTRA_CA_CERTS of their own; older versions ignore it.
    { name: 'NODE_USE_SYSTEM_CA', value: '1', ...setting, runtimes: 'Node ≥ 22.19 and ≥ 24.6, Bun' },
    { name: 'DENO_TLS_CA_STORE', value: 'system,mozilla', ...setting, runtimes: 'Deno' },
    { name: 'UV_SYSTEM_CERTS', value: '1', ...setting, runtimes: 'uv' },
    { name: 'SSL_CERT_FILE', ...bundle, runtimes: 'OpenSSL, Python ssl, httpx (OpenAI and Anthropic SDKs)' },
    { name: 'REQUESTS_CA_BUNDLE', ...bundle, runtimes: 'Python requests' },
    { name: 'HTTPLIB2_CA_CERTS', ...bundle, runtimes: 'Python httplib2 (Google API client)' },
    { name: 'PIP_CERT', ...bundle, runtimes: 'pip before 24.2' },
    { name: 'AWS_CA_BUNDLE', ...bundle, runtimes: 'AWS CLI, boto' },
    { name: 'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH', ...bundle, runtimes: 'gRPC core' },
    { name: 'CARGO_HTTP_CAINFO', ...bundle, runtimes: 'cargo' },
  ]
}

/** What users must do about a variable that they set to `theirs`; undefined if it serves as it is. */
export function keptVariable(variable: ClientVariable, theirs: string): KeptVariable | undefined {
  if (theirs === variable.value) return undefined
  const way =
    variable.certificateFile !== undefined && theirs.startsWith('/')
      ? `Append ${variable.certificateFile} to ${theirs}, or set ${variable.name}=${variable.value}`
      : `Set ${variable.name}=${variable.value}, or remove your own setting and install again`
  const remedy = `${way}: otherwise ${variable.runtimes} may refuse the gateway's certificates.`
  return { name: variable.name, theirs, remedy }
}
