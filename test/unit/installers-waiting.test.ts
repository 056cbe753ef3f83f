import t from 'tap'
import { whilst } from '../../installers/waiting.ts'

function screen(isTTY: boolean) {
  const written: string[] = []
  let onWrite = () => {}
  return {
    isTTY,
    written,
    write(text: string) {
      written.push(text)
      onWrite()
    },
    /** Until so much was written. */
    has: (count: number) =>
      new Promise<void>((resolve) => {
        onWrite = () => {
          if (written.length >= count) resolve()
        }
        onWrite()
      }),
  }
}

t.test('a terminal shows what is waited for and for how long, and then nothing of it', async (t) => {
  const terminal = screen(true)
  let finish = (_: string) => {}
  const work = new Promise<string>((resolve) => {
    finish = resolve
  })
  const waiting = whilst('the daemon starts', work, terminal, 20)
  await terminal.has(3)
  finish('done')
  t.equal(await waiting, 'done')
  t.match(terminal.written[0], /^\r\u001b\[K {12}the daemon starts … 0 s$/)
  t.equal(terminal.written.at(-1), '\r\u001b[K')
})

t.test('the line goes also where the work fails, before the error is told', async (t) => {
  const terminal = screen(true)
  await t.rejects(whilst('x', Promise.reject(new Error('wrong')), terminal), { message: 'wrong' })
  t.equal(terminal.written.at(-1), '\r\u001b[K')
})

t.test('elsewhere it writes nothing', async (t) => {
  const pipe = screen(false)
  t.equal(await whilst('x', Promise.resolve(1), pipe), 1)
  t.same(pipe.written, [])
})
