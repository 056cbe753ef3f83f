/** The variables of clients in the words of a shell, a container engine, or a Dockerfile. Pure. */
import type { ClientVariable } from '../ca/client-environment.ts'
import type { Mount } from '../ca/container-environment.ts'

type Variables = readonly Pick<ClientVariable, 'name' | 'value'>[]

/** For `eval` in sh, bash, zsh; values hold nothing that single quotes don't (client-environment.ts). */
export const shText = (variables: Variables): string =>
  variables.map(({ name, value }) => `export ${name}='${value}'`).join('\n')

/** For `source` in fish. */
export const fishText = (variables: Variables): string =>
  variables.map(({ name, value }) => `set -gx ${name} '${value}'`).join('\n')

/** Arguments for `docker run` and `podman run`, in one line without anything to quote. */
export const dockerText = (mounts: readonly Mount[], variables: Variables): string =>
  [
    ...mounts.map(({ from, to }) => `-v ${from}:${to}:ro`),
    ...variables.map(({ name, value }) => `-e ${name}=${value}`),
  ].join(' ')

/** Where images of Debian's and Alpine's kind keep an anchor and the bundle that they make of it. */
export const IMAGE_FILES = {
  certificateFile: '/usr/local/share/ca-certificates/agent-anchor-gateway.crt',
  bundleFile: '/etc/ssl/certs/ca-certificates.crt',
}

/** Lines for a Dockerfile that need nothing in the build's context. @param variables for IMAGE_FILES */
export function dockerfileText(certificatePem: string, variables: Variables): string {
  const lines = certificatePem.trim().split('\n')
  return [
    '# Trusts the LLM gateway of the machine that printed this. The image needs the package ca-certificates.',
    "RUN mkdir -p /usr/local/share/ca-certificates && printf '%s\\n' \\",
    ...lines.map((line) => `      '${line}' \\`),
    `      >${IMAGE_FILES.certificateFile} && update-ca-certificates`,
    `ENV ${variables.map(({ name, value }) => `${name}=${value}`).join(' \\\n    ')}`,
  ].join('\n')
}
