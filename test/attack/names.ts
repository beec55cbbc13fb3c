/**
 * The answer to a question for a name, as a name server of the zone lab.example gives it; null: it says nothing. Names that begin with
 * `dead` are never answered, every other one of the zone is at 127.0.0.1, and there is nothing else. RFC 1035, section 4.
 */
export function answerName(question: Buffer): Buffer | null {
  const labels: string[] = [];
  let at = 12;
  for (let length = question[at] ?? 0; length > 0; length = question[at] ?? 0) {
    labels.push(question.toString('latin1', at + 1, at + 1 + length).toLowerCase());
    at += length + 1;
  }
  const end = at + 5;
  if (labels.some((label) => label.startsWith('dead'))) return null;
  const ours = labels.slice(-2).join('.') === 'lab.example';
  const wantsAddress = question.readUInt16BE(at + 1) === 1;
  const header = Buffer.alloc(12);
  question.copy(header, 0, 0, 2);
  // An answer, by whom is responsible; names that are not there: 3.
  header.writeUInt16BE(0x8580 | (ours ? 0 : 3), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(ours && wantsAddress ? 1 : 0, 6);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
  return Buffer.concat([header, question.subarray(12, end), ...(ours && wantsAddress ? [record] : [])]);
}
