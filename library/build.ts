/**
 * Makes the package that other programs install: the verification code as JavaScript with its types, without the
 * gateway and without what only the gateway needs. `npm run build:library`, then `npm pack ./dist`.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** What the library's code imports from npm. */
const DEPENDENCIES = ['@noble/curves', '@noble/hashes', 'canonicalize', 'zod']

interface Manifest {
  readonly name: string
  readonly version: string
  readonly description: string
  readonly license: string
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>
  readonly dependencies: Readonly<Record<string, string>>
}

/** @param to made anew */
export function buildLibrary(to: string): void {
  const root = resolve(import.meta.dirname, '..')
  rmSync(to, { recursive: true, force: true })
  mkdirSync(to, { recursive: true })
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  execFileSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.library.json'), '--outDir', to], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
  writeFileSync(join(to, 'package.json'), `${JSON.stringify(published(manifest), null, 2)}\n`)
  cpSync(join(root, 'LICENSE'), join(to, 'LICENSE'))
  cpSync(join(root, 'library/README.md'), join(to, 'README.md'))
  cpSync(join(root, 'docs/record.schema.json'), join(to, 'docs/record.schema.json'))
}

/** The root's manifest less the program: the same exports, as they lie in the package. */
function published({ name, version, description, license, exports, dependencies }: Manifest): object {
  const paths = JSON.stringify(exports).replaceAll('"./dist/', '"./')
  return {
    name,
    version,
    description: `${description} The library that verifies it.`,
    license,
    type: 'module',
    sideEffects: false,
    exports: JSON.parse(paths) as unknown,
    imports: { '#platform': './daemon/ledger/platform/portable.js' },
    dependencies: Object.fromEntries(DEPENDENCIES.map((one) => [one, dependencies[one]])),
  }
}

if (import.meta.main) buildLibrary(resolve(import.meta.dirname, '../dist'))
