/**
 * Podman's containers.conf.d: every container that is made from now on gets the two files and the variables,
 * whichever image it runs. A later file's array replaces an earlier one's (only newer versions can add to it): ours
 * comes last and repeats what the administrator has.
 */
import { parse } from 'smol-toml'
import { messageOf } from '../../daemon/base/errors.ts'
import { CaError } from '../ca-error.ts'
import type { ClientVariable } from '../client-environment.ts'
import type { Mount } from '../container-environment.ts'
import { mergeVariables, PURPOSE } from './assignments.ts'
import { type DropIn, readDropIn, readDropIns } from './drop-ins.ts'
import type { EnvironmentSink } from './environment-sink.ts'
import { markedFileSink } from './marked-file.ts'

const PATH = '/etc/containers/containers.conf.d/zz-agent-anchor-gateway.conf'
const MAIN = ['/usr/share/containers/containers.conf', '/etc/containers/containers.conf']

export function podmanSink(options: {
  mounts: readonly Mount[]
  variables: readonly ClientVariable[]
  root?: string
}): EnvironmentSink {
  const { mounts, variables, root = '/' } = options
  return markedFileSink({
    name: 'podman',
    reaches: 'new Podman containers',
    path: PATH,
    root,
    needs: '/usr/bin/podman',
    async render() {
      const main = await Promise.all(MAIN.map((path) => readDropIn(root, path)))
      const dropIns = (await readDropIns(root, 'containers/containers.conf.d', ['/etc'])).filter(
        ({ path }) => path !== PATH,
      )
      const files = [...main.filter((file) => file !== undefined), ...dropIns]
      const env = arrayOf('env', files)
      const volumes = arrayOf('volumes', files)
      const { ours, kept } = mergeVariables(variables, assigned(env.values))
      const list = (key: string, theirs: readonly string[], own: readonly string[]) =>
        `${key} = [${[...theirs, ...own].map((each) => tomlString(each)).join(', ')}]`
      return {
        kept,
        lines: [
          PURPOSE,
          ...(env.repeated.length + volumes.repeated.length > 0 ? [REPEATED] : []),
          '[containers]',
          list(
            'env',
            env.repeated,
            ours.map(({ name, value }) => `${name}=${value}`),
          ),
          list(
            'volumes',
            volumes.repeated,
            mounts.map(({ from, to }) => `${from}:${to}:ro`),
          ),
        ],
      }
    },
  })
}

/** TOML's basic strings are JSON's; a marked file's text is bytes, a character each. */
const tomlString = (text: string): string => Buffer.from(JSON.stringify(text)).toString('latin1')

const REPEATED = '# Repeats what other files here set: install the gateway again after changing those.'

interface Found {
  /** What is in force. */
  readonly values: readonly string[]
  /** What an array that comes after must say again, so that it stays in force. */
  readonly repeated: readonly string[]
}

function arrayOf(key: string, files: readonly DropIn[]): Found {
  let values: string[] = []
  let appends = false
  for (const file of files) {
    const array = containersOf(file)[key]
    if (!Array.isArray(array)) continue
    // `{append=true}` holds for what comes after, too (containers.conf(5)).
    const said = array.find((each) => typeof each === 'object' && each !== null && 'append' in each)
    if (said !== undefined) appends = said.append === true
    const texts = array.filter((each) => typeof each === 'string')
    values = appends ? [...values, ...texts] : texts
  }
  return { values, repeated: appends ? [] : values }
}

function containersOf({ path, text }: DropIn): Record<string, unknown> {
  try {
    const { containers } = parse(Buffer.from(text, 'latin1').toString('utf8'))
    return typeof containers === 'object' ? (containers as Record<string, unknown>) : {}
  } catch (error) {
    throw new CaError(
      'environment-file-unreadable',
      `${path} is not what Podman reads: ${messageOf(error)}`,
      `Mend ${path} and install again.`,
      error,
    )
  }
}

function assigned(env: readonly string[]): Map<string, string> {
  return new Map(env.map((each) => [each.split('=', 1)[0] ?? '', each.slice(each.indexOf('=') + 1)]))
}
