export interface Table {
  title: string;
  /** The first one is the head. */
  rows: string[][];
}

/** Prints rows under their head, in columns. */
export function table({ title, rows }: Table): void {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  console.log(`${title}\n${rows.map((row) => `  ${line(row)}`).join('\n')}\n`);
}
