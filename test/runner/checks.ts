import { runNode } from './command.ts'

export interface CheckResult {
  readonly name: string
  readonly passed: boolean
  readonly output: string
  readonly milliseconds: number
}

const rooms = ['daemon', 'firewall', 'ca', 'policies', 'cli', 'installers', 'library', 'dashboard', 'test']

/** What is checked without running the product: each is a program with its arguments. */
const checks: readonly (readonly [name: string, argv: readonly string[]])[] = [
  ['types (tsc)', ['node_modules/typescript/bin/tsc', '--noEmit']],
  ['types without Node (tsc)', ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.browser.json']],
  ['style (biome)', ['node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.']],
  ['nothing unused (knip)', ['node_modules/knip/bin/knip.js']],
  [
    'import directions (dependency-cruiser)',
    [
      'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs',
      ...['--config', '.dependency-cruiser.cjs', ...rooms],
    ],
  ],
]

/** Runs all checks at once and tells of each as it ends. */
export async function runChecks(onResult: (result: CheckResult) => void): Promise<CheckResult[]> {
  return Promise.all(
    checks.map(async ([name, argv]) => {
      const began = performance.now()
      const { code, output } = await runNode(argv)
      const result = { name, passed: code === 0, output, milliseconds: performance.now() - began }
      onResult(result)
      return result
    }),
  )
}
