/** How a call to the canary is made with each runtime. Pure. */
import { CANARY_NAME } from '../../daemon/supervisor/canary.ts'

const URL = `https://${CANARY_NAME}/v1/models`
const FETCH = `fetch(${JSON.stringify(URL)}).then((r) => r.text(), (e) => { console.error(String(e.cause ?? e)); process.exit(1) })`
const PYTHON = `import urllib.request as u; u.urlopen(${JSON.stringify(URL)}, timeout=10).read()`
const PERL = `my $r = HTTP::Tiny->new(verify_SSL => 1, timeout => 10)->get("${URL}"); $r->{status} == 599 and die $r->{content}`

export const JAVA_SOURCE = `public class Canary {
  public static void main(String[] names) throws Exception {
    try (var in = java.net.URI.create(names[0]).toURL().openStream()) { in.readAllBytes(); }
  }
}
`

/** What lies ready for whoever calls. */
export interface Place {
  /** {@link JAVA_SOURCE} as a file. */
  readonly javaSource: string
  /** A directory of the caller's own. */
  readonly home: string
}

/** `PROGRAM` stands for the runtime's. */
const fixed =
  (...argv: string[]) =>
  (program: string): string[] => [program, ...argv]

/**
 * By the runtime's name. Of those that aren't here a call takes a screen, or what they run has roots of its own (pip, uv,
 * the AWS CLI and cargo are told by their variables).
 */
export const RUNTIME_CALLS: Readonly<Record<string, (program: string, place: Place) => string[]>> = {
  Node: fixed('-e', FETCH),
  Bun: fixed('-e', FETCH),
  Deno: fixed('eval', FETCH),
  Python: fixed('-c', PYTHON),
  Ruby: fixed('-ropen-uri', '-e', `URI.open(${JSON.stringify(URL)}).read`),
  PHP: fixed('-r', `exit(file_get_contents(${JSON.stringify(URL)}) === false ? 1 : 0);`),
  Perl: fixed('-MHTTP::Tiny', '-e', PERL),
  curl: fixed('-sS', '--max-time', '10', '-o', '/dev/null', URL),
  wget: fixed('-q', '-T', '10', '-t', '1', '-O', '/dev/null', URL),
  git: fixed('ls-remote', `https://${CANARY_NAME}/canary.git`),
  Java: (program, { javaSource }) => [program, '-XX:TieredStopAtLevel=1', javaSource, URL],
  // To compile a program takes half a minute; go itself is one in Go, and asks where modules come from.
  Go: (program, { home }) => [
    ...['/usr/bin/env', `HOME=${home}`, `GOPROXY=https://${CANARY_NAME}`, 'GOSUMDB=off', 'GOTOOLCHAIN=local'],
    ...['GOFLAGS=-mod=mod', program, 'list', '-m', '-versions', `${CANARY_NAME}/module`],
  ],
}

/** How runtimes say that it is the certificate that they don't take. */
const REFUSED = /certificat|self.signed|unable to (get|verify)|UNABLE_TO|CERT_|UnknownIssuer|PKIX|x509/i
/** And that they have no TLS that could refuse it, or no compiler to make the call with. */
const NO_TLS = /(IO::Socket::SSL|Net::SSLeay) [\d.]+ must be installed|unable to find the wrapper "https"/i
const NO_COMPILER = /module jdk\.compiler not found|could not find or load main class/i

export type Verdict = { readonly refuses: string } | { readonly noTls: string } | { readonly unknown: string }

/** @param text of a call that failed */
export function whyItFailed(text: string): Verdict {
  const lines = text.trim().split('\n')
  const line = (pattern: RegExp) =>
    lines
      .find((each) => pattern.test(each))
      ?.replace(/^Exception in thread "main" /, '')
      .trim()
      .slice(0, 200)
  const noTls = line(NO_TLS)
  if (noTls !== undefined) return { noTls }
  if (line(NO_COMPILER) !== undefined) return { unknown: 'it has no compiler to make a call with' }
  const refuses = line(REFUSED)
  return refuses === undefined ? { unknown: lines.at(-1)?.slice(0, 200) ?? '' } : { refuses }
}
