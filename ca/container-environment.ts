/**
 * What a container needs that runs an image which doesn't know the authority: the two files, mounted, and the
 * variables. Not over the image's own bundle: a package that renews that file would find it busy. So the programs
 * that read the image's store, too, need a variable here. Pure.
 */
import { CaError } from './ca-error.ts'
import { type ClientVariable, clientEnvironment } from './client-environment.ts'

export interface Mount {
  readonly from: string
  readonly to: string
}

const INSIDE = '/usr/local/share/agent-anchor'

/**
 * @param files on the host; see clientEnvironment
 * @throws CaError `environment-value-unsafe` for a path that a container engine would split
 */
export function containerEnvironment(files: { certificateFile: string; bundleFile: string }): {
  readonly mounts: readonly Mount[]
  readonly variables: readonly ClientVariable[]
} {
  const mounts = [
    { from: files.certificateFile, to: `${INSIDE}/ca.crt` },
    { from: files.bundleFile, to: `${INSIDE}/bundle.crt` },
  ] as const
  for (const { from } of mounts) {
    if (!from.includes(':')) continue
    throw new CaError(
      'environment-value-unsafe',
      `${from} can't be mounted into a container: a colon ends the path there`,
      'Choose a state directory without a colon in its path.',
    )
  }
  const inside = { certificateFile: mounts[0].to, bundleFile: mounts[1].to }
  const bundle = {
    value: inside.bundleFile,
    kind: 'replace',
    certificateFile: inside.certificateFile,
  } as const
  return {
    mounts,
    variables: [
      ...clientEnvironment(inside),
      { name: 'CURL_CA_BUNDLE', ...bundle, runtimes: 'curl' },
      { name: 'GIT_SSL_CAINFO', ...bundle, runtimes: 'git' },
    ],
  }
}
