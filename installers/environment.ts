/** Where this machine's clients are told to trust us, by the names that the manifest keeps: one list, many sinks. */
import { type ClientVariable, clientEnvironment } from '../ca/client-environment.ts'
import { containerEnvironment } from '../ca/container-environment.ts'
import { environmentDSink } from '../ca/environment-sinks/environment-d.ts'
import type { EnvironmentSink } from '../ca/environment-sinks/environment-sink.ts'
import { etcEnvironmentSink } from '../ca/environment-sinks/etc-environment.ts'
import { fishSink } from '../ca/environment-sinks/fish.ts'
import { launchdSink } from '../ca/environment-sinks/launchd.ts'
import { openrcSink } from '../ca/environment-sinks/openrc.ts'
import { podmanSink } from '../ca/environment-sinks/podman.ts'
import { profileSink } from '../ca/environment-sinks/profile-d.ts'
import { sudoSink } from '../ca/environment-sinks/sudo.ts'
import { systemdDefaultSink } from '../ca/environment-sinks/systemd-default.ts'
import { zshSink } from '../ca/environment-sinks/zsh.ts'
import { systemBundlePath } from '../ca/system-roots.ts'
import { InstallError } from './install-error.ts'
import type { OpenManifest } from './manifest.ts'
import { run } from './run.ts'

/** @param certificateFile the authority's PEM */
export function environmentSinks(certificateFile: string): EnvironmentSink[] {
  const files = { certificateFile, bundleFile: systemBundlePath() }
  return sinksOf(clientEnvironment(files), containerEnvironment(files))
}

/** The sink of that name, for taking it back: what it holds doesn't matter then. */
export function environmentSink(name: string): EnvironmentSink {
  const sink = sinksOf([], { mounts: [], variables: [] }).find((known) => known.name === name)
  if (sink) return sink
  throw new InstallError(
    'UNSUPPORTED_TRUST_STORE',
    `unknown environment ${name} in the manifest`,
    'Undo it by hand.',
  )
}

function sinksOf(
  variables: readonly ClientVariable[],
  container: ReturnType<typeof containerEnvironment>,
): EnvironmentSink[] {
  const shells = [zshSink({ variables }), fishSink({ variables }), sudoSink({ variables, run })]
  if (process.platform === 'darwin') return [launchdSink({ variables, run }), ...shells]
  return [
    etcEnvironmentSink({ variables }),
    profileSink({ variables }),
    environmentDSink({ variables }),
    systemdDefaultSink({ variables, run }),
    openrcSink({ variables }),
    ...shells,
    podmanSink(container),
  ]
}

/** Puts the variables wherever somebody reads them. @returns what to tell, in lines. */
export async function installEnvironment(manifest: OpenManifest, certificateFile: string): Promise<string[]> {
  const reached: string[] = []
  const remarks = new Set<string>()
  for (const sink of environmentSinks(certificateFile)) {
    if ((await sink.check()).state === 'unsupported') continue
    await manifest.add({ kind: 'environment', name: sink.name })
    const { state, kept } = await sink.install()
    if (state === 'set') reached.push(sink.reaches)
    for (const { name, theirs, remedy } of kept) remarks.add(`${name} stays ${theirs}: ${remedy}`)
  }
  return [`variables for ${reached.join(', ')}`, ...remarks]
}
