/** The package, packed by npm and installed into a project of its own, as another program has it. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t from 'tap'
import { formatReceipt } from '../../daemon/receipt/receipt.ts'
import { buildLibrary } from '../../library/build.ts'
import { anchorsOf, EXCHANGE, makeLog, oldKey, receiptOf, withBodies } from './receipt-fixture.ts'

const root = resolve(import.meta.dirname, '../..')
const scratch = mkdtempSync(join(tmpdir(), 'library-'))
t.teardown(() => rmSync(scratch, { recursive: true, force: true }))
const at = (...names: string[]) => join(scratch, ...names)
const env = {
  PATH: process.env.PATH ?? '',
  HOME: scratch,
  npm_config_offline: 'true',
  npm_config_cache: at('cache'),
}
const run = (file: string, args: readonly string[], cwd = scratch): string =>
  execFileSync(file, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

buildLibrary(at('dist'))
const [{ filename, files }] = JSON.parse(run('npm', ['pack', '--json', at('dist')])) as [
  { filename: string; files: { path: string }[] },
]
const { dependencies } = JSON.parse(readFileSync(at('dist', 'package.json'), 'utf8')) as {
  dependencies: Record<string, string>
}
mkdirSync(at('project'))
// Its dependencies as they lie here: a test has no registry. What it forgot to name isn't there.
const given = Object.keys(dependencies).map((name) => [name, `file:${join(root, 'node_modules', name)}`])
writeFileSync(
  at('project', 'package.json'),
  JSON.stringify({
    type: 'module',
    dependencies: { ...Object.fromEntries(given), 'agent-anchor-gateway': `file:../${filename}` },
  }),
)
run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--install-links'], at('project'))

const log = at('log')
mkdirSync(log)
const reader = await makeLog(log)
const receipt = withBodies(receiptOf(reader, [1n, EXCHANGE], anchorsOf('rpc', reader)))
writeFileSync(at('project', 'receipt.json'), formatReceipt(receipt))

t.test('it holds the verification code with its types, and nothing of the gateway', async (t) => {
  const paths = files.map(({ path }) => path)
  for (const path of [
    'LICENSE',
    'README.md',
    'package.json',
    'docs/record.schema.json',
    'library/receipt.d.ts',
  ])
    t.ok(paths.includes(path), path)
  t.same(
    paths.filter(
      (path) => !/^(LICENSE|README\.md|package\.json|docs\/record\.schema\.json|.*\.(js|d\.ts))$/.test(path),
    ),
    [],
  )
  t.same(
    paths.filter((path) => /proxy|supervisor|firewall|vault|platform\/node|chain-writer|wal/.test(path)),
    [],
  )
  for (const path of paths.filter((name) => name.endsWith('.js')))
    t.notMatch(
      readFileSync(at('dist', path), 'utf8'),
      /['"]node:|require\(|\bBuffer\b|\bprocess\.(?:env|binding|getBuiltinModule)/,
      path,
    )
})

t.test('a program in Node verifies a receipt with it', async (t) => {
  writeFileSync(
    at('project', 'verify.js'),
    `import { readFileSync } from 'node:fs'
     import { findingsText, parseReceipt, verdictOn, verifyReceipt } from 'agent-anchor-gateway/receipt'
     import { LedgerError, verifyCheckpoint } from 'agent-anchor-gateway/ledger'
     import { LogRecord } from 'agent-anchor-gateway/record'
     import schema from 'agent-anchor-gateway/record.schema.json' with { type: 'json' }
     const receipt = parseReceipt(readFileSync('receipt.json'))
     const { findings, records } = await verifyReceipt(receipt, { expectedKey: process.argv[2] })
     LogRecord.parse(records[0])
     const refused = (() => {
       try { verifyCheckpoint('none', process.argv[2]) } catch (error) { return error instanceof LedgerError && error.code }
     })()
     console.log(JSON.stringify({ verdict: verdictOn(findings), text: findingsText(findings), refused, schema: schema.$schema }))`,
  )
  const told = JSON.parse(run(process.execPath, ['verify.js', oldKey.verifierKey], at('project'))) as object
  t.match(told, {
    verdict: 'verified',
    refused: 'MALFORMED_NOTE',
    text: /leaves 1, 2 of log\.example/,
    schema: /json-schema/,
  })
})

t.test('its types serve a program of moduleResolution nodenext, without Node’s', async (t) => {
  writeFileSync(
    at('project', 'consumer.ts'),
    `import { type Finding, parseReceipt, verifyReceipt } from 'agent-anchor-gateway/receipt'
     import { ed25519Signer, type SignedCheckpoint, verifyBatch, verifyCheckpoint } from 'agent-anchor-gateway/ledger'
     import type { ExchangeRecord, LogRecord } from 'agent-anchor-gateway/record'
     export const root = (note: string, key: string): Uint8Array => verifyCheckpoint(note, key).root
     export const failed = async (bytes: Uint8Array): Promise<Finding[]> =>
       (await verifyReceipt(parseReceipt(bytes))).findings.filter(({ result }) => result === 'failed')
     export const provider = (record: LogRecord): string => (record.kind === 'exchange' ? record.provider : '')
     export const status = (record: ExchangeRecord): number | undefined => record.http.status
     export const sizeOf = ({ size }: SignedCheckpoint): bigint => size
     export const key: string = ed25519Signer('log.example', new Uint8Array(32)).verifierKey
     verifyBatch({ indexes: [], size: 0n, leafHashes: [], proof: [], root: new Uint8Array(32) })
     // @ts-expect-error a finding has no such result
     export const wrong: Finding['result'] = 'perhaps'`,
  )
  const options = {
    module: 'nodenext',
    moduleResolution: 'nodenext',
    target: 'es2024',
    lib: ['es2024', 'dom'],
    types: [],
  }
  const compilerOptions = { ...options, strict: true, noEmit: true, exactOptionalPropertyTypes: true }
  writeFileSync(at('project', 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  let told = ''
  try {
    told = run(process.execPath, [tsc, '-p', at('project')])
  } catch (error) {
    told = String((error as { stdout?: string }).stdout)
  }
  t.equal(told, '')
})
