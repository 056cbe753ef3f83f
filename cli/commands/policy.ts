/** `agent-anchor policy …`: what the policies say, before and while they are in force. */
import { InvalidArgumentError } from 'commander'
import { loadConfig } from '../../daemon/config/config.ts'
import { difference } from '../../policies/difference.ts'
import { explain } from '../../policies/explain.ts'
import { print, printJson, type Register } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import {
  type Asked,
  describedFacts,
  type ExplainOptions,
  explanationText,
  inForce,
  recordedFacts,
} from '../policy/explain.ts'
import { loadNamed } from '../policy/files.ts'
import { reload, reloadedText } from '../policy/reload.ts'
import { casesFiles, testFile, testText } from '../policy/test.ts'
import { validateAll, validationText } from '../policy/validate.ts'
import { printable } from '../terminal.ts'

const userId = (text: string): number => {
  if (!/^[0-9]{1,10}$/.test(text)) throw new InvalidArgumentError('a uid is wanted')
  return Number(text)
}

const sha256 = (text: string): string => {
  if (!/^[0-9a-f]{64}$/.test(text)) throw new InvalidArgumentError('64 hex digits are wanted')
  return text
}

const recordedIn = ({ recordedUnder }: Asked) => (recordedUnder === undefined ? {} : { recordedUnder })

const gathered = (text: string, before: string[] = []): string[] => [...before, text]

export const policy: Register = (program, act) => {
  const command = program
    .command('policy')
    .description('what the policies say, before and while they are in force')

  command
    .command('validate')
    .argument('[file...]', 'policies, drop-ins, catalogues; the policy in force where none is named')
    .description('check files, and say what is wrong where')
    .action(
      act(async ({ config, json }, ...words) => {
        const found = validateAll(loadConfig(config), words.flat())
        const valid = found.every((each) => each.valid)
        if (json) printJson({ valid, files: found })
        else if (valid) print(validationText(found))
        else process.stderr.write(`${validationText(found)}\n`)
        return valid ? ExitCode.healthy : ExitCode.error
      }),
    )

  command
    .command('test')
    .argument('[file...]', 'NAME.cases.yaml; those of the shipped policies and one’s own where none is named')
    .description('run the cases beside the policies, and print how many rules they cover')
    .action(
      act(async ({ config: file, json }, ...words) => {
        const named = words.flat()
        const results = (named.length > 0 ? named : casesFiles(loadConfig(file))).map(testFile)
        const passed = results.every((each) => each.results.every((one) => one.passed))
        if (json) printJson({ passed, files: results })
        else print(testText(results))
        return passed ? ExitCode.healthy : ExitCode.error
      }),
    )

  command
    .command('explain')
    .description('say which rule decides of a request and of its record, and why')
    .option('--policy <name>', 'a policy or a file of one; the one in force where absent')
    .option('--record <id>', 'the request of this record, as far as it is stored')
    .option('--provider <id>', 'of the catalogue')
    .option('--host <name>', 'where it goes')
    .option('--method <method>', 'POST where absent')
    .option('--path <path>', '/v1/chat/completions where absent')
    .option('--model <name>', 'that it asks for')
    .option('--tool <name>', 'that it offers; may be repeated', gathered)
    .option('--text <text>', 'that it holds')
    .option('--body <file>', 'its body, in place of model, tools and text')
    .option('--signed', 'with AWS’s signature')
    .option('--uid <uid>', 'who sends it', userId)
    .option('--unit <name>', 'the sender’s unit')
    .option('--container <id>', 'RUNTIME:ID')
    .option('--executable <path>', 'the sender’s executable')
    .option('--sha256 <hex>', 'its bytes’ SHA-256', sha256)
    .action(
      act(async (options) => {
        const asked = options as typeof options & ExplainOptions & { readonly policy?: string }
        const config = loadConfig(options.config)
        const rules = await inForce(loadNamed(asked.policy ?? config.policy, config.policiesDir))
        const request =
          asked.record === undefined
            ? { facts: describedFacts(rules, asked) }
            : await recordedFacts(options, asked.record)
        const found = explain(rules.policy, request.facts)
        const { name, hash } = rules.policy
        if (options.json) printJson({ policy: { name, hash }, ...recordedIn(request), ...found })
        else print(explanationText(rules, request, found))
        return ExitCode.healthy
      }),
    )

  command
    .command('reload')
    .description('have the running gateway take what the files say now; a bad policy is not taken')
    .action(
      act(async ({ config, json }) => {
        const found = await reload(loadConfig(config))
        const done = found.state === 'in-force'
        if (json) printJson(found)
        else if (done) print(reloadedText(found))
        else process.stderr.write(`${reloadedText(found).split('\n').map(printable).join('\n')}\n`)
        if (found.state === 'not-running') return ExitCode.notRunning
        return done ? ExitCode.healthy : ExitCode.error
      }),
    )

  command
    .command('diff')
    .argument('<a>', 'a policy, or a file of one')
    .argument('<b>', 'another')
    .description('show in what two policies differ in effect')
    .action(
      act(async ({ config: file, json }, a, b) => {
        const { policiesDir } = loadConfig(file)
        const [from, to] = [a, b].map((word) => loadNamed(word as string, policiesDir).policy)
        const found = difference(from!, to!)
        const shown = (value: unknown) => (value === undefined ? '-' : JSON.stringify(value))
        if (json) printJson({ from: from!.hash, to: to!.hash, differences: found })
        else if (found.length === 0) print('no difference')
        else
          print(
            found.map((one) => printable(`${one.setting}: ${shown(one.from)} → ${shown(one.to)}`)).join('\n'),
          )
        return ExitCode.healthy
      }),
    )
}
