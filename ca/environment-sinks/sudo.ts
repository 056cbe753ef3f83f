/**
 * sudo, which passes neither the caller's variables nor /etc/environment on: `Defaults env_file` in sudoers.d names
 * a file of ours. Where the administrator has an env_file already, that one stays, and our variables are put into
 * it as a block.
 *
 * A mistake in sudoers takes everybody's way to root: nothing is put in place that visudo hasn't read, what it likes
 * less than before is taken away again, and where sudo's configuration can't be told, it is left alone. All that is
 * said, and ends no installation.
 */
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf } from '../../daemon/base/errors.ts'
import type { ClientVariable, KeptVariable } from '../client-environment.ts'
import { PURPOSE, renderAssignments } from './assignments.ts'
import type { EnvironmentCheck, EnvironmentSink, Tool } from './environment-sink.ts'
import { ETC_ENVIRONMENT } from './etc-environment.ts'
import { markedFileSink } from './marked-file.ts'
import { envFiles, globalEnvFile } from './sudoers.ts'

const SNIPPET = '/etc/sudoers.d/agent-anchor-gateway'
/** Beside the configuration, since it serves as `docker run --env-file` and EnvironmentFile= too. */
export const ENV_FILE = '/etc/agent-anchor/client.env'
const VISUDO = '/usr/sbin/visudo'
/** Written into the snippet, so that uninstall knows where the variables are whatever sudoers says by then. */
const STANDS_IN = '# The variables stand in '

export function sudoSink(options: {
  variables: readonly ClientVariable[]
  run: Tool
  root?: string
}): EnvironmentSink {
  const { run, root = '/' } = options
  const variablesIn = (path: string) =>
    markedFileSink({
      name: path,
      reaches: 'sudo',
      path,
      root,
      render: (outside) => renderAssignments(options.variables, outside),
    })
  const snippet = (files: readonly string[]) =>
    markedFileSink({
      name: SNIPPET,
      reaches: 'sudo',
      path: SNIPPET,
      root,
      mode: 0o440,
      render: () => ({
        kept: [],
        lines: [
          PURPOSE,
          ...files.map((path) => `${STANDS_IN}${path}`),
          ...(files.includes(ENV_FILE) ? [`Defaults env_file=${ENV_FILE}`] : []),
        ],
      }),
      examine: (text) => examine(run, text),
    })

  /** Files that the snippet says we are in. */
  async function filesBefore(): Promise<string[]> {
    const text = await readFile(join(root, SNIPPET), 'latin1').catch(() => '')
    return text
      .split('\n')
      .flatMap((line) => (line.startsWith(STANDS_IN) ? [line.slice(STANDS_IN.length)] : []))
  }

  async function plan(): Promise<{ files: string[] } | { left: EnvironmentCheck }> {
    const present = existsSync(join(root, VISUDO)) && existsSync(join(root, '/etc/sudoers'))
    if (!present)
      return { left: { state: (await filesBefore()).length > 0 ? 'stale' : 'unsupported', kept: [] } }
    try {
      const set = envFiles(await readSudoers(run, root)).filter(({ path }) => path !== ENV_FILE)
      const own = globalEnvFile(set) === undefined ? [ENV_FILE] : []
      // What /etc/environment says, it says already.
      const theirs = set.flatMap(({ path }) => (path === undefined || path === ETC_ENVIRONMENT ? [] : [path]))
      return { files: [...new Set([...own, ...theirs])] }
    } catch (error) {
      return { left: { state: 'absent', kept: [untold(messageOf(error))] } }
    }
  }

  return {
    name: 'sudo',
    reaches: 'sudo',
    async check() {
      const planned = await plan()
      if ('left' in planned) return planned.left
      const before = await filesBefore()
      const parts = [snippet(planned.files), ...planned.files.map(variablesIn)]
      const checks = await Promise.all(parts.map((part) => part.check()))
      const kept = checks.flatMap((check) => check.kept)
      if (checks[0]?.state === 'absent') return { state: 'absent', kept }
      const settled =
        checks.every(({ state }) => state === 'set') && before.every((path) => planned.files.includes(path))
      return { state: settled ? 'set' : 'stale', kept }
    },
    async install() {
      const planned = await plan()
      if ('left' in planned) return planned.left
      const before = await filesBefore()
      const kept: KeptVariable[] = []
      // The variables first: sudo must not be sent to a file that isn't there.
      for (const path of planned.files) kept.push(...(await variablesIn(path).install()).kept)
      const wasSound = await sound(run)
      try {
        await snippet(planned.files).install()
        if (wasSound && !(await sound(run)))
          throw new Error('visudo finds fault with sudoers since it is there')
      } catch (error) {
        await snippet([]).uninstall()
        for (const path of new Set([...before, ...planned.files])) await variablesIn(path).uninstall()
        return { state: 'absent', kept: [untold(messageOf(error))] }
      }
      for (const path of before) if (!planned.files.includes(path)) await variablesIn(path).uninstall()
      const effective = globalEnvFile(envFiles(await readSudoers(run, root)))
      if (planned.files.includes(ENV_FILE) && effective !== ENV_FILE) kept.push(unread())
      return { state: 'set', kept }
    },
    async uninstall() {
      const files = await filesBefore()
      await snippet([]).uninstall()
      for (const path of files) await variablesIn(path).uninstall()
    },
  }
}

/** sudoers with all that it includes, as JSON. */
const readSudoers = (run: Tool, root: string): Promise<string> =>
  run('cvtsudoers', '-f', 'json', join(root, '/etc/sudoers'))

/** Whether visudo likes sudoers as a whole, owners and modes included. */
const sound = (run: Tool): Promise<boolean> =>
  run('visudo', '-c').then(
    () => true,
    () => false,
  )

async function examine(run: Tool, text: string): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'sudoers-'))
  try {
    const candidate = join(directory, 'candidate')
    await writeFile(candidate, text, { mode: 0o440 })
    await run('visudo', '-c', '-f', candidate)
  } finally {
    await rm(directory, { recursive: true })
  }
}

function untold(why: string): KeptVariable {
  const remedy = `sudo is left alone, so that programs under it don't get the variables (${why}). Mend what it says and install again.`
  return { name: 'sudo', theirs: 'as it is', remedy }
}

function unread(): KeptVariable {
  const remedy = `sudoers passes over ${SNIPPET}. Add \`Defaults env_file=${ENV_FILE}\` to it with visudo, so that programs under sudo get the variables.`
  return { name: 'sudo', theirs: 'as it is', remedy }
}
