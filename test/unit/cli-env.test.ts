/** `agent-anchor env`, run as a user does. */
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'

const COMMAND = join(import.meta.dirname, '../../cli/agent-anchor')
const PEM = '-----BEGIN CERTIFICATE-----\nMIIB/w==\n-----END CERTIFICATE-----\n'

interface Said {
  readonly stdout: string
  readonly stderr: string
  readonly code: number
}

/** A state directory with a CA, and the command run on it. */
function gateway(t: Test) {
  const directory = t.testdir({ ca: {} })
  const certificate = join(directory, 'ca/ca.crt')
  mkdirSync(join(directory, 'ca'), { recursive: true })
  writeFileSync(certificate, PEM)
  const config = join(directory, 'gateway.yaml')
  writeFileSync(config, `stateDir: ${directory}\n`)
  const env = (args: readonly string[], variables: Record<string, string> = {}) =>
    new Promise<Said>((resolve) => {
      execFile(
        COMMAND,
        ['--config', config, 'env', ...args],
        { env: { PATH: '/usr/bin:/bin', ...variables } },
        (error, stdout, stderr) => resolve({ stdout, stderr, code: Number(error?.code ?? 0) }),
      )
    })
  return { certificate, env }
}

t.test('prints an export a line, with the certificate’s real path', async (t) => {
  const { certificate, env } = gateway(t)
  const { stdout, stderr, code } = await env([])
  t.equal(code, 0)
  t.match(stdout, `export NODE_EXTRA_CA_CERTS='${certificate}'\n`)
  t.match(stdout, /^export SSL_CERT_FILE='\/etc\/.*'$/m)
  t.equal(stderr, '')
})

t.test('what this very environment sets stays, and what it takes is said beside the output', async (t) => {
  const { certificate, env } = gateway(t)
  const { stdout, stderr } = await env([], { SSL_CERT_FILE: '/mine.pem', NODE_EXTRA_CA_CERTS: certificate })
  t.notMatch(stdout, 'SSL_CERT_FILE')
  t.match(stdout, 'NODE_EXTRA_CA_CERTS', 'a value that is ours is printed all the same')
  t.match(stderr, `SSL_CERT_FILE stays /mine.pem: Append ${certificate} to /mine.pem`)
})

t.test('prints arguments for docker run, whatever this environment has', async (t) => {
  const { certificate, env } = gateway(t)
  const { stdout } = await env(['--format', 'docker'], { SSL_CERT_FILE: '/mine.pem' })
  t.match(stdout, `-v ${certificate}:/usr/local/share/agent-anchor/ca.crt:ro `)
  t.match(stdout, ' -e SSL_CERT_FILE=/usr/local/share/agent-anchor/bundle.crt ')
  t.equal(stdout.trim().split('\n').length, 1)
})

t.test('prints lines for a Dockerfile that hold the certificate', async (t) => {
  const { env } = gateway(t)
  const { stdout } = await env(['--format', 'dockerfile'])
  for (const line of PEM.trim().split('\n')) t.match(stdout, `'${line}' \\\n`)
  t.match(stdout, 'ENV NODE_EXTRA_CA_CERTS=/usr/local/share/ca-certificates/agent-anchor-gateway.crt')
})

t.test('prints JSON with what is kept and what a container needs', async (t) => {
  const { certificate, env } = gateway(t)
  const document = JSON.parse((await env(['--json'], { PIP_CERT: '/p.pem' })).stdout)
  t.match(document, {
    schemaVersion: 1,
    kept: [{ name: 'PIP_CERT', theirs: '/p.pem' }],
    container: { mounts: [{ from: certificate }, {}] },
  })
  t.notOk(document.variables.some(({ name }: { name: string }) => name === 'PIP_CERT'))
})

t.test('without a CA it says so, with what to do', async (t) => {
  const config = join(t.testdir({ 'gateway.yaml': 'stateDir: /nonexistent/state\n' }), 'gateway.yaml')
  const said = await new Promise<Said>((resolve) =>
    execFile(COMMAND, ['--config', config, 'env'], (error, stdout, stderr) =>
      resolve({ stdout, stderr, code: Number(error?.code) }),
    ),
  )
  t.match(said, {
    code: 1,
    stdout: '',
    stderr: /there is no CA of a gateway in .*\nRun installers\/install\.sh/,
  })
})
