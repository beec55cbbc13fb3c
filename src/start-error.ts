/** A start that fails for a reason outside of the program. The message is for a person, and says how to mend it; a stack would only hide it. */
export class StartError extends Error {
  override name = 'StartError';
}
