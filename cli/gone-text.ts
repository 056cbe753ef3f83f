/** Why a record's content is not there any more, in words. */
import type { AuditRecord } from '../daemon/recorder/record.ts'

export function goneText({ id, time, event, detail }: AuditRecord): string {
  const how =
    event === 'content-erased'
      ? `erased at ${time} by uid ${detail.uid}${login(detail)}`
      : `gone at ${time} by the retention (${detail.reason})`
  return `${how}, record ${id}`
}

const login = ({ uid, loginUid }: AuditRecord['detail']): string =>
  loginUid === undefined || loginUid === uid ? '' : ` (logged in as uid ${loginUid})`
