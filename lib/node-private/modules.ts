/** Which modules of Node are loaded. */

/** Whether a module of Node has been loaded in this thread. */
export function isLoaded(module: string): boolean {
  const { moduleLoadList } = process as NodeJS.Process & { moduleLoadList: readonly string[] };
  return moduleLoadList.includes(`NativeModule ${module}`);
}
