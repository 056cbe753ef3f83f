/** Completions in the shells themselves, and the manual page as groff takes it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { flattened } from '../../cli/command-table.ts'
import { commandTable, run } from './cli-run.ts'
import { scratch } from './scratch.ts'
import { onTerminal } from './terminal-fixture.ts'

t.setTimeout(60_000)
const directory = scratch()
const at = (name: string) => join(directory, name)
for (const [shell, file] of Object.entries({ bash: 'bash', zsh: '_agent-anchor', fish: 'fish' }))
  writeFileSync(at(file), (await run(['completion', shell])).stdout)
writeFileSync(at('a receipt.json'), '')
const table = await commandTable()

/** What is typed, and all that a shell offers then. */
const OFFERS: readonly (readonly [typed: readonly string[], offered: readonly string[]])[] = [
  [['st'], ['status']],
  [['status', '--w'], ['--watch']],
  [['keys', 'rot'], ['rotate']],
  [['keys', 'rotate', 'bo'], ['body']],
  [
    ['--json', 'chain', 'authorization', ''],
    ['request', 'add'],
  ],
  [['records', '--kind', 're'], ['refusal']],
  [['ledger', 'fsck', '--repair', '--di'], ['--dir']],
  [['verify', '--offline', '--receipt', at('a')], [at('a receipt.json')]],
  [['help', 'unin'], ['uninstall']],
  [['status', '--no-such'], []],
]

t.test('bash offers commands, options, their choices, and files', async (t) => {
  const script = `source ${at('bash')}; complete -p agent-anchor
    COMP_WORDS=(agent-anchor "$@"); COMP_CWORD=$#; _agent_anchor; printf '%s\\n' "\${COMPREPLY[@]}"`
  for (const [typed, offered] of OFFERS) {
    const { stdout, stderr } = await run(['--norc', '-c', script, 'bash', ...typed], 'bash')
    const [registered, ...words] = stdout.trim().split('\n')
    t.equal(registered, 'complete -F _agent_anchor agent-anchor')
    t.same(words, offered, `${typed.join(' ')} ${stderr}`)
  }
})

t.test('bash knows every command and every option of the table', async (t) => {
  const script = `source ${at('bash')}
    while read -ra words; do
      COMP_WORDS=(agent-anchor "\${words[@]}" --); COMP_CWORD=$((\${#words[@]} + 1)); _agent_anchor
      echo "\${COMPREPLY[*]}"
    done <<< "$1"`
  const commands = flattened(table)
  const paths = commands.map(({ path }) => path).join('\n')
  const lines = (await run(['--norc', '-c', script, 'bash', paths], 'bash')).stdout.split('\n')
  for (const [i, { path, options }] of commands.entries()) {
    const long = options.flatMap(({ names }) => names).filter((name) => name.startsWith('--'))
    const offered = new Set(lines[i]?.split(' '))
    t.same(
      [...long, '--config', '--json', '--help'].filter((name) => !offered.has(name)),
      [],
      `agent-anchor ${path}`,
    )
  }
})

t.test('fish offers the same', async (t) => {
  for (const [typed, offered] of OFFERS) {
    const words = ['agent-anchor', ...typed].map((word) => word.replaceAll(' ', '\\ ')).join(' ')
    const script = `source ${at('fish')}; complete -C '${words}'`
    const { stdout, stderr } = await run(['--no-config', '-c', script], 'fish')
    const found = stdout.split('\n').flatMap((line) => line.split('\t')[0] || [])
    t.same(found.sort(), [...offered].sort(), `${typed.join(' ')} ${stderr}`)
  }
})

t.test('zsh completes them on its own command line', async (t) => {
  const out = at('typed')
  writeFileSync(
    at('.zshrc'),
    `fpath=(${directory} $fpath); autoload -Uz compinit; compinit -u -d ${at('dump')}
     show() { print -r -- "$BUFFER" >> ${out}; zle kill-whole-line }
     zle -N show; bindkey '^X' show; bindkey '^I' expand-or-complete; PROMPT='ready> '`,
  )
  writeFileSync(out, '')
  const { shown, type, code } = onTerminal(['zsh', '-d', '-i'], { ZDOTDIR: directory })
  const until = async (done: () => boolean) => {
    while (!done()) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await until(() => shown().includes('ready> '))
  const single = OFFERS.filter(([, offered]) => offered.length === 1)
  for (const [i, [typed, [offered = '']]] of single.entries()) {
    type(`agent-anchor ${typed.join(' ')}\t\u0018`)
    await until(() => readFileSync(out, 'utf8').split('\n').length > i + 1)
    const line = readFileSync(out, 'utf8').split('\n')[i]?.trimEnd()
    t.equal(line, ['agent-anchor', ...typed.slice(0, -1), offered.replaceAll(' ', '\\ ')].join(' '))
  }
  type('exit\r')
  await code
})

t.test(
  'the manual page is what groff takes without a warning, and has every command and option',
  async (t) => {
    const page = at('agent-anchor.8')
    writeFileSync(page, (await run(['manual'])).stdout)
    const { code, stdout, stderr } = await run(
      ['-ww', '-man', '-Tutf8', '-rLL=200n', '-P-cbou', page],
      'groff',
    )
    t.match({ code, stderr }, { code: 0, stderr: /^$/ })
    const text = stdout.replaceAll('\u2010', '-').replaceAll('\u2212', '-')
    t.match(text, /^NAME\n +agent-anchor - records AI agents' LLM traffic/m)
    for (const { path, options } of flattened(table)) {
      t.match(text, `agent-anchor ${path}`)
      for (const { usage } of options) t.match(text, usage)
    }
    t.match(text, /EXIT STATUS(.|\n)*3 +no gateway runs/)
    t.match((await run(['--warnings', '-l', page], 'man')).stderr, /^$/, 'nor does man(1) complain')
  },
)

t.test('a shell that it does not know is a usage error that names those it does', async (t) => {
  t.match(await run(['completion', 'tcsh']), { code: 2, stderr: /Allowed choices are bash, zsh, fish/ })
})
