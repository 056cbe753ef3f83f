/** What others have told the machine's network: looked at, never changed. */
import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { promisify } from 'node:util'
import { messageOf } from '../../daemon/base/errors.ts'
import type { Config } from '../../daemon/config/config.ts'
import { childEnvironment } from '../../daemon/supervisor/program.ts'
import { loadRules } from '../../daemon/supervisor/rules.ts'
import { legacyTables } from '../../firewall/path-watch.ts'
import type { Check } from './check.ts'
import { foreignRules, legacyRules } from './foreign-rules.ts'
import { resolvedCheck } from './resolved.ts'
import type { Running } from './running.ts'

/** A machine of Kubernetes has some megabytes of rules. */
const MOST_BYTES = 64 << 20
/** Tables of iptables-legacy that come before the gateway's translation. */
const EARLY = new Set(['raw', 'mangle'])
/** In the order in which systemd reads them; of files of one name the first directory's counts. */
const RESOLVED = ['/etc', '/run', '/usr/local/lib', '/usr/lib'].map((root) => `${root}/systemd`)

export async function othersRules(): Promise<Check[]> {
  const listed = foreignRules(await said('nft', '--json', '--terse', 'list', 'ruleset'))
  const legacy = await Promise.all(
    legacyTables()
      .filter((table) => EARLY.has(table.split(' ')[1] ?? ''))
      .map(async (table) => {
        const [family = '', name = ''] = table.split(' ')
        const command = `${family === 'ip6' ? 'ip6tables' : 'iptables'}-legacy-save`
        return said(command, '--table', name).then(
          (saved) => legacyRules(table, saved),
          (error): Check[] => [
            { check: `rules of the table ${table}`, result: 'not-run', detail: messageOf(error) },
          ],
        )
      }),
  )
  const found = [...listed, ...legacy.flat()]
  const none = 'none takes connections away before the gateway'
  return found.length > 0 ? found : [{ check: 'rules of others', result: 'held', detail: none }]
}

/** Where it runs. */
export async function resolver(config: Config, running: readonly Running[]): Promise<Check[]> {
  // The kernel keeps 15 bytes of the name.
  if (!running.some(({ name }) => name === 'systemd-resolve')) return []
  const dropIns = new Map(
    RESOLVED.flatMap((root) => globSync(`${root}/resolved.conf.d/*.conf`))
      .toReversed()
      .map((file) => [basename(file), file]),
  )
  const ordered = [...dropIns].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, file]) => file)
  const main = RESOLVED.map((root) => `${root}/resolved.conf`).flatMap((file) => globSync(file))
  const files = [...main.slice(0, 1), ...ordered]
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')))
  return [resolvedCheck(texts, loadRules(config).policy.proxy.resolvers)]
}

const said = async (program: string, ...args: string[]) =>
  (
    await promisify(execFile)(program, args, {
      env: childEnvironment,
      timeout: 10_000,
      maxBuffer: MOST_BYTES,
    })
  ).stdout
