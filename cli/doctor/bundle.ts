/**
 * What somebody who helps needs to see, in one archive: no key, no body, no prompt, no environment of a process. Each
 * text goes through `redact.ts`; what isn't named here is not in it.
 */
import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { messageOf } from '../../daemon/base/errors.ts'
import { childEnvironment } from '../../daemon/supervisor/program.ts'
import type { Evidence } from '../evidence.ts'
import { storedLines } from '../logs/files.ts'
import { redacted } from './redact.ts'

const LINES = 2000
const MAX_OUTPUT = 16 << 20

export interface BundleParts {
  readonly evidence: Pick<Evidence, 'config' | 'paths'>
  readonly configFile: string
  /** Documents as JSON: of status and of doctor. */
  readonly documents: Readonly<Record<string, object>>
}

/** Writes FILE (mode 0600), and gives the names of what is in it. */
export async function writeBundle(file: string, { evidence, ...given }: BundleParts): Promise<string[]> {
  const { config, paths } = evidence
  const command = (program: string, ...args: string[]) => said(program, args)
  const parts: Record<string, () => Promise<string>> = {
    'gateway.yaml': () => readFile(given.configFile, 'utf8'),
    'policies.txt': () =>
      command(
        'find',
        config.policiesDir,
        '-type',
        'f',
        '-name',
        '*.yaml',
        '-print',
        '-exec',
        'cat',
        '{}',
        ';',
      ),
    'install-manifest.json': () => readFile('/etc/agent-anchor/install-manifest.json', 'utf8'),
    'anchors.json': () => readFile(join(paths.chainState, 'anchors.json'), 'utf8'),
    'log.txt': () => newest(config.logDir),
    'journal.txt': () =>
      command('journalctl', '--no-pager', '--lines', String(LINES), '--unit', 'agent-anchor'),
    'rules.txt': () => command('nft', '--terse', 'list', 'ruleset'),
    'versions.txt': async () =>
      (
        await Promise.all([
          command('uname', '-srvm'),
          command('nft', '--version'),
          readFile('/etc/os-release', 'utf8'),
          `node ${process.version}`,
        ])
      ).join('\n'),
    'state-directory.txt': () =>
      command('find', config.stateDir, '-maxdepth', '3', '-printf', '%M %u %g %s %TY-%Tm-%Td %p\n'),
  }
  for (const [name, document] of Object.entries(given.documents))
    parts[name] = async () => JSON.stringify(document, plain, 2)

  const directory = await mkdtemp(join(tmpdir(), 'agent-anchor-bundle-'))
  const inside = join(directory, 'agent-anchor')
  try {
    await mkdir(inside)
    for (const [name, text] of Object.entries(parts)) {
      // What can't be had is told in its place.
      const content = await text().catch((error: unknown) => `not available: ${messageOf(error)}\n`)
      await writeFile(join(inside, name), redacted(content), { mode: 0o600 })
    }
    const target = resolve(file)
    await writeFile(target, '', { mode: 0o600 })
    await chmod(target, 0o600)
    await said('tar', ['--create', '--gzip', '--file', target, '--directory', directory, basename(inside)])
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
  return Object.keys(parts).sort()
}

const plain = (_: string, value: unknown) => (typeof value === 'bigint' ? value.toString() : value)

const said = async (program: string, args: readonly string[]) =>
  (
    await promisify(execFile)(program, args, {
      env: childEnvironment,
      timeout: 60_000,
      maxBuffer: MAX_OUTPUT,
    })
  ).stdout

async function newest(directory: string): Promise<string> {
  const lines: string[] = []
  for await (const line of storedLines(directory)) {
    lines.push(line)
    if (lines.length > 2 * LINES) lines.splice(0, LINES)
  }
  return `${lines.slice(-LINES).join('\n')}\n`
}
