/** Dark, light, or as the system has it; kept for this browser. */

export type Theme = 'system' | 'dark' | 'light';

export function keptTheme(): Theme {
  const kept = localStorage.getItem('theme');
  return kept === 'dark' || kept === 'light' ? kept : 'system';
}

export function applyTheme(theme: Theme): void {
  if (theme === 'system') localStorage.removeItem('theme');
  else localStorage.setItem('theme', theme);
  document.documentElement.dataset.theme = theme;
}
